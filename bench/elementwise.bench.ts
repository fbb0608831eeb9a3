// a chain of eight operations on 16M floats in one pass, against memory bandwidth
import { contest, type Measured, type Place } from "./lib/contest.ts";

export const about = "a chain of eight operations on 16M floats in one pass, against memory bandwidth";

export default function measure(options: object, place: Place): Promise<Measured[]> {
  return contest("elementwise", options, place);
}
