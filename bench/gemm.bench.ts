// f32 matrix products, by transposes and threads
import { contest, type Measured, type Place } from "./lib/contest.ts";

export const about = "f32 matrix products, by transposes and threads";

export default function measure(options: object, place: Place): Promise<Measured[]> {
  return contest("gemm", options, place);
}
