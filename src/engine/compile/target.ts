// What the compiler needs to know of a backend: its name and its kernel table.
import type { Lowered, LowerContext } from "../backend/index.ts";

/** The side of a backend that the compiler sees. */
export interface Target {
  readonly name: string;
  lower(context: LowerContext<never>): Lowered | undefined;
  /** Whether an equation may be part of a fused group; absent where there is no kernel for groups. */
  readonly fusible?: ((context: LowerContext<never>) => boolean) | undefined;
  /** Whether a contraction's kernel can run element-wise work on its result; absent where none can. */
  readonly epilogue?: ((context: LowerContext<never>) => boolean) | undefined;
  /** Whether an equation may end a fused group, and how: those of one group must be alike. */
  readonly closing?: ((context: LowerContext<never>) => string | undefined) | undefined;
}
