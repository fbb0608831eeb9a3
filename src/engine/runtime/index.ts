// runtime: devices, arrays on them, compiled programs.
export * from "./device.ts";
export * from "./device-array.ts";
export * from "./executable.ts";
export * from "./profile.ts";
export * from "./turns.ts";
