/** The proxies that are compared, each configured to notice a failure as soon as the others. */
import { EXECUTABLE } from "../harness/proxy.ts";
import { permissionsFor } from "../../scripts/permissions.ts";

export type Mode = "TCP" | "HTTP";

/** What a fault needs of a proxy besides the two upstreams. */
export interface ProxyNeeds {
  readonly check?: string;
  readonly trigger?: string;
  /** Further flags for ours. */
  readonly flags?: readonly string[];
  /** A program that replaces our `main.ts`. */
  readonly main?: string;
  /** The number of descriptors that it will have; proxies that need to be configured for it are. */
  readonly descriptors?: number;
  /** The host name of the upstreams; `127.0.0.1` by default. */
  readonly host?: string;
}

export interface ComparedProxy {
  readonly name: string;
  readonly mode: Mode;
  /** The needs that this proxy can satisfy; a fault with another need leaves it out. */
  readonly knows: readonly (keyof ProxyNeeds)[];
  /** The command that runs it on `port`; it may write into `folder`. */
  command(place: Place, needs: ProxyNeeds): Promise<readonly string[]>;
}

export interface Place {
  readonly folder: string;
  readonly port: number;
  /** Ports of primary and backup. */
  readonly upstreams: readonly [number, number];
}

/** Interval, time-out and threshold of the checks of all proxies that have them. */
const INTERVAL = "200ms";
const TIMEOUT = "500ms";
/** Descriptors that HAProxy keeps for itself. */
const OWN = 36;

const ours = (mode: Mode, engine: "splice" | "stream", timeout: string): ComparedProxy => ({
  name: `failover, ${engine}`,
  mode,
  knows: ["check", "trigger", "flags", "main", "host", "descriptors"],
  command({ port, upstreams }, needs) {
    const [primary, backup] = upstreams.map((upstream) =>
      `${needs.host ?? "127.0.0.1"}:${upstream}`
    );
    const where = mode === "TCP"
      ? ["--hosts", `${primary},${backup}`, "--bind", `127.0.0.1:${port}`]
      : [
        ...["--primary", `http://${primary}`, "--backup", `http://${backup}`],
        ...["--listen", `127.0.0.1:${port}`],
      ];
    const executable = needs.main === undefined
      ? EXECUTABLE
      : ["run", "--quiet", ...permissionsFor(Deno.build.os), needs.main];
    return Promise.resolve([
      ...[Deno.execPath(), ...executable, ...where, "--relay", engine],
      ...["--check-interval", INTERVAL, "--check-timeout", timeout],
      ...needs.check === undefined
        ? []
        : ["--check-host", needs.check, "--check-script-timeout", timeout],
      ...needs.trigger === undefined ? [] : ["--on-failover", needs.trigger],
      ...needs.flags ?? [],
    ]);
  },
});

const haproxy = (mode: Mode): ComparedProxy => ({
  name: "HAProxy",
  mode,
  knows: ["host", "descriptors"],
  async command({ folder, port, upstreams: [primary, backup] }, needs) {
    const { host = "127.0.0.1", descriptors } = needs;
    const file = `${folder}/haproxy.cfg`;
    const check = `check inter ${INTERVAL} fall 3 rise 2 on-marked-down shutdown-sessions`;
    await Deno.writeTextFile(
      file,
      `global
  nbthread 1
${descriptors === undefined ? "" : `  maxconn ${Math.floor((descriptors - OWN) / 2)}\n`}defaults
  mode ${mode.toLowerCase()}
  retries 3
  option redispatch
  timeout connect 3s
  timeout check ${TIMEOUT}
  timeout client 30s
  timeout server 30s
listen faults
  bind 127.0.0.1:${port}
${mode === "HTTP" ? "  option httpchk GET /\n" : ""}  server primary ${host}:${primary} ${check}
  server backup ${host}:${backup} ${check} backup
`,
    );
    return ["haproxy", "-db", "-f", file];
  },
});

const flopsy = (binary: string): ComparedProxy => ({
  name: "flopsy",
  mode: "TCP",
  knows: ["check", "trigger", "host", "descriptors"],
  command({ port, upstreams }, { check, trigger, host = "127.0.0.1" }) {
    return Promise.resolve([
      ...[binary, "-p", `${port}`],
      ...["-H", upstreams.map((upstream) => `${host}:${upstream}`).join(",")],
      ...check === undefined ? [] : ["-c", check],
      ...trigger === undefined ? [] : ["-f", trigger],
    ]);
  },
});

const kagehq = (binary: string): ComparedProxy => ({
  name: "kagehq/failover",
  mode: "HTTP",
  knows: ["host", "descriptors"],
  command({ port, upstreams: [primary, backup] }, { host = "127.0.0.1" }) {
    return Promise.resolve([
      binary,
      ...["--primary", `http://${host}:${primary}`, "--backup", `http://${host}:${backup}`],
      ...["--listen", `127.0.0.1:${port}`, "--check-interval", INTERVAL],
    ]);
  },
});

/**
 * All proxies that are available here; the original ones only if their binaries are given. `timeout` is that of the
 * checks of ours.
 */
export function comparedProxies(
  has: { readonly haproxy: boolean; readonly flopsy?: string; readonly kagehq?: string },
  timeout = TIMEOUT,
): ComparedProxy[] {
  return (["TCP", "HTTP"] as const).flatMap((mode) => [
    ours(mode, "splice", timeout),
    ours(mode, "stream", timeout),
    ...has.haproxy ? [haproxy(mode)] : [],
    ...mode === "TCP" && has.flopsy !== undefined ? [flopsy(has.flopsy)] : [],
    ...mode === "HTTP" && has.kagehq !== undefined ? [kagehq(has.kagehq)] : [],
  ]);
}
