// 784-128-64-10, SGD, batch 32: an epoch of 60,000
import { contest, type Measured, type Place } from "./lib/contest.ts";

export const about = "784-128-64-10, SGD, batch 32: an epoch of 60,000";

export default function measure(options: object, place: Place): Promise<Measured[]> {
  return contest("mlp", options, place);
}
