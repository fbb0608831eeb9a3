// Terminate on NaN: a loss that is not finite ends the run quietly instead of with an error.
import type { Callback } from "../callback.ts";

/**
 * Ends training when loss or gradients are not finite, with the weights from before that batch; the reason is printed.
 * Without this callback `fit` throws a NumericError that says the same.
 */
export function terminateOnNaN(): Callback {
  return {
    name: "terminateOnNaN",
    onTrainBegin(run) {
      run.onNonFinite = "stop";
    },
  };
}
