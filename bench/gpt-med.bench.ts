// GPT-2's shape, 6 layers of width 384, 16 × 256 tokens, AdamW
import { contest, type Measured, type Place } from "./lib/contest.ts";

export const about = "GPT-2's shape, 6 layers of width 384, 16 × 256 tokens, AdamW";

export default function measure(options: object, place: Place): Promise<Measured[]> {
  return contest("gpt-med", options, place);
}
