/**
 * A network namespace for one test, with one interface, which several processes share. Nothing in it can
 * reach the real network. Needs root on Linux.
 */
import { Child } from "./child.ts";
import { withTestDeadline } from "./test_deadline.ts";

/** Its interface, and the link-local address of the interface. */
export const INTERFACE = "fo0";
export const LINK_LOCAL = `fe80::1%${INTERFACE}`;

/** One end of a virtual cable whose other end is in the same namespace. */
const ADD_INTERFACE = `ip link add ${INTERFACE} type veth peer name ${INTERFACE}p && ` +
  `ip link set ${INTERFACE}p up && ip link set ${INTERFACE} up && ` +
  `ip addr replace fe80::1/64 dev ${INTERFACE} nodad`;

/** True where this process may make network namespaces with interfaces in them. */
export function mayMakeNetworks(): boolean {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return false;
  try {
    const args = ["-n", "sh", "-c", ADD_INTERFACE];
    return new Deno.Command("unshare", { args, stderr: "null" }).outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

export class Network implements AsyncDisposable {
  /** The process that keeps the namespace. */
  readonly #holder: Child;

  private constructor(holder: Child) {
    this.#holder = holder;
  }

  static async make(): Promise<Network> {
    const ready = Promise.withResolvers<void>();
    const complaints: string[] = [];
    const holder = new Child("unshare", {
      args: [
        "-n",
        "sh",
        "-c",
        `ip link set lo up && ${ADD_INTERFACE} && echo ready && exec sleep 600`,
      ],
      onOut: () => ready.resolve(),
      onErr: (line) => complaints.push(line),
    });
    const more = () => complaints.join("\n");
    await withTestDeadline(
      "a network namespace",
      Promise.race([ready.promise, holder.ended]),
      more,
    );
    return new Network(holder);
  }

  /** The command that runs what follows it in this namespace, and keeps its process id. */
  get command(): string[] {
    return ["nsenter", "-t", String(this.#holder.pid), "-n"];
  }

  /** Replaces the interface: it then has another number, as after a restart of a network service. */
  async renew(): Promise<void> {
    const [program, ...args] = this.command;
    // Another interface takes the number that is free.
    const anew = `ip link del ${INTERFACE} && ip link add other0 type veth && ${ADD_INTERFACE}`;
    const run = new Deno.Command(program!, { args: [...args, "sh", "-c", anew] });
    const { success } = await run.output();
    if (!success) throw new Error(`cannot make ${INTERFACE} anew`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#holder.kill();
  }
}
