/**
 * The proxy that at SIGUSR1 becomes a user who may start no process (setrlimit(2)), and may again from SIGUSR2
 * on; USER_ID says which user, as the limit does not hold for root. Not before it is told to, since its
 * modules may be readable by root alone.
 */
import { becomeUser, lower } from "./limits.ts";

const id = Number(Deno.env.get("USER_ID"));
let restore = () => {};

Deno.addSignalListener("SIGUSR1", () => {
  restore = lower("processes", 1);
  becomeUser(id);
});
Deno.addSignalListener("SIGUSR2", () => restore());

await import("../../src/main.ts");
