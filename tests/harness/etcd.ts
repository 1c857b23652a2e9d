/**
 * Real etcd servers (Debian's package `etcd-server`) on free ports of loopback addresses, with their data in
 * a folder of the test. A cluster of several members elects its leader itself.
 */
import { Child } from "./child.ts";
import { Folder } from "./folder.ts";
import { underHosts } from "./hosts.ts";
import { withTestDeadline } from "./test_deadline.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** The paths of etcd's programs; undefined where they are not installed. `FAILOVER_ETCD` is another etcd to test with. */
export const ETCD = Deno.env.get("FAILOVER_ETCD") ?? pathOf("etcd");
export const ETCDCTL = pathOf("etcdctl");

function pathOf(program: string): string | undefined {
  for (const folder of ["/usr/bin", "/usr/local/bin"]) {
    try {
      if (Deno.statSync(`${folder}/${program}`).isFile) return `${folder}/${program}`;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return undefined;
}

/** Certificates of the listener for clients, as paths. */
export interface EtcdCertificates {
  readonly cert: string;
  readonly key: string;
  /** Clients need a certificate of this authority. */
  readonly clientCa: string;
}

/** One member of a cluster. */
export class EtcdMember implements AsyncDisposable {
  readonly #args: readonly string[];
  readonly #under: readonly string[];
  readonly #log: string[] = [];
  #child: Child | undefined;

  /** `under` is a command that starts the rest of its arguments with its own process id. */
  constructor(readonly endpoint: string, args: readonly string[], under: readonly string[] = []) {
    this.#args = args;
    this.#under = under;
  }

  /** The process id of its last run; undefined if it has ended. */
  get pid(): number | undefined {
    return this.#child?.hasEnded === false ? this.#child.pid : undefined;
  }

  /** `host:port` of the listener for clients. */
  get address(): string {
    return new URL(this.endpoint).host;
  }

  /** Starts it, with the data of its last run if there was one. */
  start(): void {
    const take = (line: string) => {
      this.#log.push(line);
      if (this.#log.length > 200) this.#log.shift();
    };
    const [program, ...args] = [...this.#under, ETCD!, ...this.#args];
    this.#child = new Child(program!, { args, onOut: take, onErr: take });
  }

  /** Ends it as a loss of power would. */
  async kill(): Promise<void> {
    await this.#child?.kill();
  }

  /** It stops running, and its connections stay open. */
  async freeze(): Promise<void> {
    await this.#child?.freeze();
  }

  thaw(): void {
    this.#child?.thaw();
  }

  readonly lastLines = (): string => this.#log.slice(-20).join("\n");

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** A cluster of one or more members, which runs until it is disposed of. */
export class EtcdCluster implements AsyncDisposable {
  private constructor(readonly members: readonly EtcdMember[], readonly folder: Folder) {}

  /**
   * Starts `count` members and waits until they answer. `hosts` are the addresses on which they listen. `between`
   * gives the address at which the member `from` finds what `to` listens to on this port of 127.0.0.1; then each member
   * has an /etc/hosts of its own, and peers have names. `args` are further arguments, and `unders` the commands that
   * start each one, whose answers this process cannot wait for.
   */
  static async start(
    count: 1 | 3,
    { certificates, hosts = [], args = [], unders, between }: {
      readonly certificates?: EtcdCertificates;
      readonly hosts?: readonly string[];
      readonly args?: readonly string[];
      readonly unders?: readonly (readonly string[])[];
      readonly between?: (from: number, to: number, port: number) => string;
    } = {},
  ): Promise<EtcdCluster> {
    const folder = await Folder.make();
    const scheme = certificates === undefined ? "http" : "https";
    const places = Array.from({ length: count }, (_, index) => ({
      name: `m${index}`,
      client: `${scheme}://${hosts[index] ?? "127.0.0.1"}:${unusedPort()}`,
      listen: `${hosts[index] ?? "127.0.0.1"}:${unusedPort()}`,
    })).map((place) => {
      const [host, port] = place.listen.split(":") as [string, string];
      return { ...place, port: Number(port), peer: between === undefined ? host : place.name };
    });
    const peerOf = ({ peer, port }: typeof places[number]) => `http://${peer}:${port}`;
    const all = places.map((each) => `${each.name}=${peerOf(each)}`).join(",");
    const tls = certificates === undefined ? [] : [
      ...["--cert-file", certificates.cert, "--key-file", certificates.key],
      ...["--client-cert-auth", "--trusted-ca-file", certificates.clientCa],
    ];
    const under = await Promise.all(places.map((_, from) => {
      if (between === undefined) return [];
      const found = places.map(({ name, port }, to) => [
        name,
        to === from ? "127.0.0.1" : between(from, to, port),
      ]);
      return underHosts(folder, `hosts-${from}`, Object.fromEntries(found));
    }));
    const members = places.map((place, index) => {
      const { name, client, listen } = place;
      return new EtcdMember(client, [
        ...["--name", name, "--data-dir", folder.at(name), "--logger", "zap"],
        ...["--listen-client-urls", client, "--advertise-client-urls", client],
        ...["--listen-peer-urls", `http://${listen}`],
        ...["--initial-advertise-peer-urls", peerOf(place)],
        ...["--initial-cluster", all, "--heartbeat-interval", "100"],
        ...["--election-timeout", "1000", ...tls, ...args],
      ], unders?.[index] ?? under[index]);
    });
    const cluster = new EtcdCluster(members, folder);
    for (const member of members) member.start();
    try {
      if (certificates === undefined && unders === undefined) await cluster.answers();
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return cluster;
  }

  /** The endpoints of all members. */
  get endpoints(): string[] {
    return this.members.map(({ endpoint }) => endpoint);
  }

  /** Resolves when each of `members` answers a read that all must agree on. */
  async answers(members: readonly EtcdMember[] = this.members): Promise<void> {
    const lines = () => members.map(({ lastLines }) => lastLines()).join("\n");
    await withTestDeadline("etcd to answer", Promise.all(members.map(hasAnswered)), lines);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map((member) => member[Symbol.asyncDispose]()));
    await this.folder[Symbol.asyncDispose]();
  }
}

async function hasAnswered({ endpoint }: EtcdMember): Promise<void> {
  for (;;) {
    try {
      const response = await fetch(`${endpoint}/v3/kv/range`, {
        method: "POST",
        body: JSON.stringify({ key: btoa("anything") }),
        signal: AbortSignal.timeout(2_000),
      });
      const isAnswer = response.ok;
      await response.body?.cancel();
      if (isAnswer) return;
    } catch {
      // It is not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Makes etcd ask for users: `root` has this password. With certificates, etcdctl shows one. */
export async function enableUsers(
  { endpoints }: EtcdCluster,
  password: string,
  certificates?: EtcdCertificates & { readonly ca: string },
): Promise<void> {
  const tls = certificates === undefined ? [] : [
    ...["--cacert", certificates.ca, "--cert", certificates.cert, "--key", certificates.key],
  ];
  const ctl = (...args: string[]) =>
    run(ETCDCTL!, ["--command-timeout=20s", `--endpoints=${endpoints[0]}`, ...tls, ...args]);
  await ctl("user", "add", `root:${password}`);
  await ctl("role", "add", "root");
  await ctl("user", "grant-role", "root", "root");
  await ctl("auth", "enable");
}

/** Runs a program to its end. */
async function run(program: string, args: readonly string[]): Promise<void> {
  const lines: string[] = [];
  const take = (line: string) => lines.push(line);
  await using child = new Child(program, { args, onOut: take, onErr: take });
  const { code } = await withTestDeadline(program, child.ended);
  if (code !== 0) throw new Error(`${program} exited with ${code}\n${lines.join("\n")}`);
}

/**
 * An authority, and one certificate of it for the server and its clients. It has no common name, since etcd
 * refuses to confuse that with a user whom it asks for.
 */
export async function writeEtcdCertificates(
  folder: string,
): Promise<EtcdCertificates & { readonly ca: string }> {
  const at = (name: string) => `${folder}/${name}`;
  const openssl = (...args: string[]) => run("openssl", args);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await openssl(
    ...["req", "-x509", ...key, "-days", "2", "-subj", "/CN=test authority"],
    ...["-keyout", at("ca.key"), "-out", at("ca.pem")],
  );
  await openssl(
    ...["req", ...key, "-subj", "/O=etcd", "-keyout", at("key.pem"), "-out", at("req.pem")],
  );
  await Deno.writeTextFile(at("ext"), "subjectAltName=IP:127.0.0.1\n");
  await openssl(
    ...["x509", "-req", "-in", at("req.pem"), "-CA", at("ca.pem"), "-CAkey", at("ca.key")],
    ...["-CAcreateserial", "-days", "2", "-extfile", at("ext"), "-out", at("cert.pem")],
  );
  const ca = at("ca.pem");
  return { ca, clientCa: ca, cert: at("cert.pem"), key: at("key.pem") };
}
