/**
 * The proxy on a system that at SIGUSR1 runs out of processes, and has some again at SIGUSR2. The system's
 * answer (fork(2): EAGAIN) is imitated where programs are started: under the real limit (RLIMIT_NPROC), which
 * counts threads as well, the runtime itself may end.
 */
const spawn = Deno.Command.prototype.spawn;

function refuse(): never {
  const error = new Deno.errors.WouldBlock("Resource temporarily unavailable (os error 11)");
  throw Object.assign(error, { code: "EAGAIN" });
}

Deno.addSignalListener("SIGUSR1", () => {
  Deno.Command.prototype.spawn = refuse;
  console.error("no process is left");
});
Deno.addSignalListener("SIGUSR2", () => Deno.Command.prototype.spawn = spawn);

await import("../../src/main.ts");
