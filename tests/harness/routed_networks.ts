/**
 * Network namespaces for one test, one for each named machine, with a router between them. The router can drop what
 * one machine sends to another, in one direction: connections then hang, as in a partition. Nothing in
 * them can reach the real network. Needs root on Linux.
 */
import { Child } from "./child.ts";
import { mayMakeNetworks } from "./network.ts";
import { withTestDeadline } from "./test_deadline.ts";

/** True where this process may make such networks: the router drops packets by a rule (ip-rule(8)). */
export function mayRoute(): boolean {
  if (!mayMakeNetworks()) return false;
  const args = ["-n", "ip", "rule", "add", "from", "10.77.1.2", "to", "10.77.2.2", "blackhole"];
  return new Deno.Command("unshare", { args, stderr: "null" }).outputSync().success;
}

/** Starts a process that keeps a namespace, after `script` has prepared it. */
async function hold(script: string): Promise<Child> {
  const ready = Promise.withResolvers<void>();
  const complaints: string[] = [];
  const holder = new Child("unshare", {
    args: ["-n", "sh", "-c", `${script} && echo ready && exec sleep 600`],
    onOut: () => ready.resolve(),
    onErr: (line) => complaints.push(line),
  });
  const failed = holder.ended.then(() => {
    throw new Error(`no network namespace: ${complaints.join("\n")}`);
  });
  // Later its end is expected.
  failed.catch(() => {});
  await withTestDeadline("a network namespace", Promise.race([ready.promise, failed]));
  return holder;
}

const enter = (holder: Child) => ["nsenter", "-t", String(holder.pid), "-n"];

export class RoutedNetworks implements AsyncDisposable {
  readonly #router: Child;
  readonly #machines: ReadonlyMap<string, Child>;
  readonly #names: readonly string[];

  private constructor(router: Child, machines: ReadonlyMap<string, Child>) {
    this.#router = router;
    this.#machines = machines;
    this.#names = [...machines.keys()];
  }

  static async make(...names: string[]): Promise<RoutedNetworks> {
    const router = await hold("ip link set lo up && echo 1 >/proc/sys/net/ipv4/ip_forward");
    const machines = new Map<string, Child>();
    const networks = new RoutedNetworks(router, machines);
    try {
      for (const name of names) machines.set(name, await hold("ip link set lo up"));
      const made = new RoutedNetworks(router, machines);
      for (const [index, { pid }] of [...machines.values()].entries()) {
        const net = `10.77.${index + 1}`;
        await made.#run(
          enter(router),
          `ip link add m${index} type veth peer name eth0 netns ${pid} && ` +
            `ip addr add ${net}.1/24 dev m${index} && ip link set m${index} up`,
        );
        await made.#run(
          made.command(names[index]!),
          `ip addr add ${net}.2/24 dev eth0 && ip link set eth0 up && ` +
            `ip route add default via ${net}.1`,
        );
      }
      return made;
    } catch (error) {
      await networks[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The command that runs what follows it on this machine, and keeps its process id. */
  command(name: string): string[] {
    return enter(this.#machines.get(name)!);
  }

  /** The address of a machine. */
  address(name: string): string {
    return `10.77.${this.#names.indexOf(name) + 1}.2`;
  }

  /** What any of `from` sends to any of `to` is lost until `heal`. */
  async lose(from: readonly string[], to: readonly string[]): Promise<void> {
    const rules = from.flatMap((one) =>
      to.map((other) => `ip rule add from ${this.address(one)} to ${this.address(other)} blackhole`)
    );
    await this.#run(enter(this.#router), rules.join(" && "));
  }

  /** Nothing passes between the two groups. */
  async part(some: readonly string[], others: readonly string[]): Promise<void> {
    await this.lose(some, others);
    await this.lose(others, some);
  }

  /** Everything passes again. */
  async heal(): Promise<void> {
    const usual = "ip rule add from all lookup main pref 32766";
    await this.#run(enter(this.#router), `ip rule flush && ${usual}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#machines.values()].map((each) => each.kill()));
    await this.#router.kill();
  }

  async #run([program, ...args]: readonly string[], script: string): Promise<void> {
    const command = new Deno.Command(program!, {
      args: [...args, "sh", "-c", script],
      stderr: "piped",
    });
    const { success, stderr } = await command.output();
    if (!success) throw new Error(`${script}: ${new TextDecoder().decode(stderr)}`);
  }
}
