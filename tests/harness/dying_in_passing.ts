/**
 * The real proxy as the new process of an upgrade, in which something happens when it receives a connection: TEST_PASSING
 * says to whom (`new`, `old`, or `slow`: the new one is stopped), at which connection, counted from 1, and whether `before` or `after` the answer.
 */
import { Takeover } from "../../src/upgrade/takeover.ts";

const [victim, at, moment] = (Deno.env.get("TEST_PASSING") ?? "").split(" ");

function die(): void {
  if (victim === "old") Deno.kill(Deno.ppid, "SIGKILL");
  if (victim === "new") Deno.kill(Deno.pid, "SIGKILL");
  if (victim === "slow") Deno.kill(Deno.pid, "SIGSTOP");
}

const { receiveConnections } = Takeover.prototype;
Takeover.prototype.receiveConnections = function (receive) {
  let count = 0;
  return receiveConnections.call(this, (service, parcel) => {
    const isIt = ++count === Number(at);
    if (isIt && moment === "before") die();
    const goOn = receive(service, parcel);
    if (!isIt || moment !== "after" || goOn === undefined) return goOn;
    return () => {
      die();
      goOn();
    };
  });
};

await import("../../src/main.ts");
