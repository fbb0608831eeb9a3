// two convolutions, pool, two dense layers, Adam, batch 64
import { contest, type Measured, type Place } from "./lib/contest.ts";

export const about = "two convolutions, pool, two dense layers, Adam, batch 64";

export default function measure(options: object, place: Place): Promise<Measured[]> {
  return contest("cnn", options, place);
}
