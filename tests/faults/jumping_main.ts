/**
 * The proxy on a machine whose wall clock jumps: at SIGWINCH an hour ahead, at the next an hour back. No
 * namespace has its own wall clock, and setting the clock of the machine would affect all other programs; so it is
 * `Date.now` that jumps, which is all that the proxy knows of that clock. `performance.now` is the
 * monotonic one, which does not jump on a real machine either.
 */
const real = Date.now;
let ahead = 0;
Date.now = () => real() + ahead;
Deno.addSignalListener("SIGWINCH", () => ahead = ahead === 0 ? 3_600_000 : 0);
await import("../../src/main.ts");
