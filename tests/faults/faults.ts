/** The faults, in the order of the table. */
import { connect } from "node:net";
import { DnsServer } from "./dns.ts";
import type { Folder } from "../harness/folder.ts";
import { isInstalled } from "../harness/scenario.ts";
import { pause } from "./load.ts";
import type { ProxyNeeds } from "./proxies.ts";
import type { Fault, Prepared } from "./run_fault.ts";

/** Descriptors of a process that is to run out of them, and clients that use them up. */
const DESCRIPTORS = 160;
const IDLE_CLIENTS = 200;

const isRoot = Deno.build.os === "linux" && Deno.uid() === 0;

export const FAULTS: readonly Fault[] = [
  {
    name: "kill",
    title: "kill -9 of the primary",
    harmed: ["primary"],
    async inject({ primary }) {
      await primary.kill();
      await pause(2_000);
    },
  },
  {
    name: "restart",
    title: "restart of the primary",
    harmed: ["primary"],
    async inject({ primary }) {
      await primary.restart();
      await pause(2_000);
    },
  },
  {
    name: "stop",
    title: "primary stopped for 2 s, then continued",
    harmed: ["primary"],
    async inject({ primary }) {
      await primary.freeze();
      await pause(2_000);
      primary.thaw();
      await pause(1_000);
    },
  },
  {
    name: "port-dropped",
    title: "packets to the primary dropped (full accept queue)",
    harmed: ["primary"],
    async inject({ primary }) {
      await primary.swallow();
      await pause(4_000);
    },
  },
  {
    name: "reset-storm",
    title: "primary resets each new connection for 1.5 s",
    harmed: ["primary"],
    async inject({ primary }) {
      primary.toggleResets();
      await pause(1_500);
      primary.toggleResets();
      await pause(1_000);
    },
  },
  {
    name: "slow-start",
    title: "primary restarts, accepts, and answers after 2 s",
    harmed: ["primary"],
    async inject({ primary }) {
      await primary.restart(2_000);
      await pause(3_000);
    },
  },
  {
    name: "check-fails",
    title: "check program denies the primary for 1.5 s",
    harmed: ["primary"],
    prepare: checked('[ ! -e "bad" ] || [ "$1" != "$(cat bad)" ]'),
    inject: turnBad,
  },
  {
    name: "check-hangs",
    title: "check program hangs for the primary for 1.5 s",
    harmed: [],
    prepare: checked('[ -e "bad" ] && [ "$1" = "$(cat bad)" ] && exec sleep 5; exit 0'),
    inject: turnBad,
  },
  {
    name: "check-gone",
    title: "check program missing for 1.5 s",
    harmed: [],
    prepare: checked("exit 0"),
    async inject({ folder }) {
      await Deno.rename(folder.at("check"), folder.at("elsewhere"));
      await pause(1_500);
      await Deno.rename(folder.at("elsewhere"), folder.at("check"));
      await pause(500);
    },
  },
  {
    name: "trigger-fails",
    title: "primary killed, trigger fails",
    harmed: ["primary"],
    prepare: withTrigger("exit 1"),
    async inject({ primary }) {
      await primary.kill();
      await pause(2_000);
    },
  },
  {
    name: "trigger-hangs",
    title: "primary killed, trigger hangs (ended after 1 s)",
    harmed: ["primary"],
    // The trigger of the first promotion may end.
    prepare: withTrigger("[ -e first ] && exec sleep 60; touch first", [
      ...["--trigger-timeout", "1s"],
    ]),
    fits: ({ name }) => name !== "flopsy",
    async inject({ primary }) {
      await primary.kill();
      await pause(3_000);
    },
  },
  {
    name: "names-gone",
    title: "name service silent for 3 s",
    harmed: [],
    unsupportedReason: () =>
      isRoot ? missing("unshare") : "needs root, for a separate name service",
    prepare: named,
    async inject() {
      DnsServer.silence(true);
      await pause(3_000);
      DnsServer.silence(false);
    },
  },
  {
    name: "names-gone-kill",
    title: "name service silent, then the primary killed",
    harmed: ["primary"],
    unsupportedReason: () =>
      isRoot ? missing("unshare") : "needs root, for a separate name service",
    prepare: named,
    async inject({ primary }) {
      DnsServer.silence(true);
      await pause(1_000);
      await primary.kill();
      await pause(2_500);
      DnsServer.silence(false);
    },
  },
  {
    name: "descriptors",
    title: `${IDLE_CLIENTS} idle clients for 2.5 s, ${DESCRIPTORS} descriptors`,
    harmed: [],
    unsupportedReason: () => missing("prlimit"),
    prepare: wrapped({ descriptors: DESCRIPTORS }, withDescriptors),
    async inject({ port }) {
      using _ = idleClients(port);
      await pause(2_500);
    },
  },
  {
    name: "descriptors-kill",
    title: `primary killed while ${IDLE_CLIENTS} idle clients use up ${DESCRIPTORS} descriptors`,
    harmed: ["primary"],
    unsupportedReason: () => missing("prlimit"),
    async prepare(folder) {
      const check = await checkProgram(folder, "exit 0");
      const trigger = await folder.script("trigger", "exit 0");
      return {
        ...nothingLeft({ check, trigger, descriptors: DESCRIPTORS }),
        wrap: withDescriptors,
      };
    },
    async inject({ port, primary }) {
      using _ = idleClients(port);
      await pause(1_000);
      await primary.kill();
      await pause(1_500);
    },
  },
  {
    name: "log-full",
    title: "disk full under the log (/dev/full), primary killed",
    harmed: ["primary"],
    prepare: wrapped({}, (command) => ["sh", "-c", 'exec "$@" 2>/dev/full', "sh", ...command]),
    async inject({ primary }) {
      await primary.kill();
      await pause(2_000);
    },
  },
  {
    name: "clock",
    title: "wall clock jumps an hour ahead, and back",
    harmed: [],
    prepare: withMain("jumping_main.ts"),
    async inject({ proxy }) {
      proxy.signal("SIGWINCH");
      await pause(1_000);
      proxy.signal("SIGWINCH");
      await pause(1_000);
    },
  },
  {
    name: "proxy-stopped",
    title: "the proxy itself is stopped for 3 s",
    harmed: [],
    async inject({ proxy }) {
      proxy.signal("SIGSTOP");
      await pause(3_000);
      proxy.signal("SIGCONT");
      await pause(1_000);
    },
  },
  {
    name: "worker",
    title: "primary killed, and the worker dies at its next order",
    harmed: ["primary", "backup"],
    fits: ({ mode, name }) => mode === "TCP" && name === "failover, splice",
    prepare: withMain("dying_main.ts"),
    async inject({ primary, proxy }) {
      proxy.signal("SIGWINCH");
      await pause(200);
      await primary.kill();
      await pause(2_500);
    },
  },
];

/** The check program denies the primary while the file `bad` contains its name. */
async function turnBad({ folder, primary }: Parameters<Fault["inject"]>[0]): Promise<void> {
  await folder.write("bad.new", `127.0.0.1:${primary.port}`);
  await Deno.rename(folder.at("bad.new"), folder.at("bad"));
  await pause(1_500);
  await Deno.remove(folder.at("bad"));
  await pause(1_000);
}

function missing(program: string): string | undefined {
  return isInstalled(program) ? undefined : `needs ${program}`;
}

function nothingLeft(needs: ProxyNeeds): Prepared {
  return { needs, [Symbol.asyncDispose]: () => Promise.resolve() };
}

function withDescriptors(command: readonly string[]): readonly string[] {
  return ["prlimit", `--nofile=${DESCRIPTORS}:${DESCRIPTORS}`, ...command];
}

/** Clients that connect, send nothing, and close when disposed of. */
function idleClients(port: number): Disposable {
  const sockets = Array.from({ length: IDLE_CLIENTS }, () => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.on("error", () => {});
    return socket;
  });
  return {
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** In HTTP mode a check program gets the URL of the upstream, so only its end is compared. */
function checked(body: string): NonNullable<Fault["prepare"]> {
  return async (folder) => nothingLeft({ check: await checkProgram(folder, body) });
}

function checkProgram(folder: Folder, body: string): Promise<string> {
  return folder.script("check", `set -- "\${1#http://}"; set -- "\${1%/}"\n${body}`);
}

function withTrigger(body: string, flags?: readonly string[]): NonNullable<Fault["prepare"]> {
  return async (folder) => {
    const trigger = await folder.script("trigger", body);
    return nothingLeft(flags === undefined ? { trigger } : { trigger, flags });
  };
}

function withMain(file: string): NonNullable<Fault["prepare"]> {
  return () => Promise.resolve(nothingLeft({ main: new URL(file, import.meta.url).pathname }));
}

function wrapped(
  needs: ProxyNeeds,
  wrap: Prepared["wrap"] & object,
): NonNullable<Fault["prepare"]> {
  return () => Promise.resolve({ ...nothingLeft(needs), wrap });
}

/** Upstreams have a name that only a name service of this test knows, by a separate resolv.conf of the proxy. */
async function named(folder: Folder): Promise<Prepared> {
  const server = await DnsServer.start();
  const conf = await folder.write(
    "resolv.conf",
    `nameserver ${server.address}\noptions timeout:5 attempts:2\n`,
  );
  return {
    needs: { host: "upstream.faults.test" },
    wrap: (command) => [
      ...["unshare", "--mount", "--propagation", "private", "sh", "-c"],
      ...['mount --bind "$0" /etc/resolv.conf && exec "$@"', conf, ...command],
    ],
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
