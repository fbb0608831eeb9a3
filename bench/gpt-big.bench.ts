// GPT-2 with 124M parameters, 4 × 64 tokens, AdamW
import { contest, type Measured, type Place } from "./lib/contest.ts";

export const about = "GPT-2 with 124M parameters, 4 × 64 tokens, AdamW";

export default function measure(options: object, place: Place): Promise<Measured[]> {
  return contest("gpt-big", options, place);
}
