// The child process of our own side.
import { serve } from "./ours.ts";

await serve();
