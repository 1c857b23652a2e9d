import { assertEquals } from "@std/assert";
import { type Place, successorOf, whyNotHere } from "./place.ts";

const PLACE: Place = {
  os: "linux",
  unsupportedReason: undefined,
  pid: 42,
  ppid: 1,
  parentName: "systemd",
  env: { NOTIFY_SOCKET: "/run/systemd/notify" },
};

Deno.test("a process is not replaced where its end would end the new one as well", () => {
  const why = (change: Partial<Place>) => whyNotHere({ ...PLACE, ...change });
  assertEquals(why({}), undefined);
  assertEquals(why({ parentName: "bash", ppid: 7, env: {} }), undefined);
  assertEquals(
    why({ os: "darwin" }),
    "an upgrade in place needs Linux; on darwin restart the proxy instead",
  );
  assertEquals(
    why({ unsupportedReason: "no permission to call it (--allow-ffi)" }),
    "an upgrade in place needs the kernel's sockets: no permission to call it (--allow-ffi)",
  );
  assertEquals(
    why({ pid: 1, ppid: 0 }),
    "the proxy is process 1: the container would end with it; start a new container instead",
  );
  assertEquals(
    why({ parentName: "tini" }),
    "tini (process 1) would take the end of this process for that of the service; restart it instead",
  );
  assertEquals(
    why({ env: {} }),
    "systemd would end the new process together with this one: the unit needs Type=notify and " +
      "NotifyAccess=all",
  );
});

Deno.test("the program that takes over has the same arguments, and the flags of deno where it is the same", () => {
  const run = {
    isStandalone: false,
    execPath: "/usr/bin/deno",
    args: ["--bind", "127.0.0.1:1"],
    commandLine: ["deno", "run", "--allow-net", "main.ts", "--bind", "127.0.0.1:1"],
  };
  assertEquals(successorOf(run, undefined), {
    program: "/usr/bin/deno",
    args: ["run", "--allow-net", "main.ts", "--bind", "127.0.0.1:1"],
  });
  assertEquals(successorOf(run, "/opt/failover"), { program: "/opt/failover", args: run.args });
  const compiled = { ...run, isStandalone: true, execPath: "/usr/local/bin/failover (deleted)" };
  assertEquals(successorOf(compiled, undefined), {
    program: "/usr/local/bin/failover",
    args: run.args,
  });
});
