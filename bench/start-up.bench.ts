// from process to ready, and the first step of a model: trace, compile, run
import { contest, type Measured, type Place } from "./lib/contest.ts";

export const about = "from process to ready, and the first step of a model: trace, compile, run";

export default function measure(options: object, place: Place): Promise<Measured[]> {
  return contest("start-up", options, place);
}
