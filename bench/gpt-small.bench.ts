// GPT-2's shape, 4 layers of width 128, 12 × 64 tokens, AdamW
import { contest, type Measured, type Place } from "./lib/contest.ts";

export const about = "GPT-2's shape, 4 layers of width 128, 12 × 64 tokens, AdamW";

export default function measure(options: object, place: Place): Promise<Measured[]> {
  return contest("gpt-small", options, place);
}
