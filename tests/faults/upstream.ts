/** A counting upstream in a separate process, with all faults that it can have. */
import { Child } from "../harness/child.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import type { CountingPlan } from "./upstream_program.ts";

const PROGRAM = new URL("./upstream_program.ts", import.meta.url).pathname;
/** Short, so that it can be filled quickly. */
const BACKLOG = 64;

export class CountingUpstream implements AsyncDisposable {
  readonly name: string;
  readonly port: number;
  #plan: CountingPlan;
  #child: Child;
  readonly #fillers: Deno.Conn[] = [];
  readonly #filling = new AbortController();

  private constructor(plan: CountingPlan, child: Child) {
    this.name = plan.says;
    this.port = plan.port;
    this.#plan = plan;
    this.#child = child;
  }

  /** `folder` is where it keeps the log of its requests. */
  static async start(says: string, folder: string): Promise<CountingUpstream> {
    const plan = { says, port: 0, requestLog: `${folder}/${says}`, backlog: BACKLOG, deafMs: 0 };
    const [port, child] = await launch(plan);
    return new CountingUpstream({ ...plan, port }, child);
  }

  /** Resolves when its port refuses connections. */
  async kill(): Promise<void> {
    await this.#child.kill();
  }

  /** Starts it again at its address; for `deafMs` it accepts and answers nothing. */
  async restart(deafMs = 0): Promise<void> {
    await this.kill();
    this.#plan = { ...this.#plan, deafMs };
    [, this.#child] = await launch(this.#plan);
  }

  async freeze(): Promise<void> {
    await this.#child.freeze();
  }

  thaw(): void {
    this.#child.thaw();
  }

  /** Freezes it and fills its accept queue: a connection then gets no answer, as behind a firewall. */
  async swallow(): Promise<void> {
    await this.freeze();
    const { signal } = this.#filling;
    const full = Promise.withResolvers<void>();
    for (let number = 0; number < BACKLOG + 8; number++) {
      Deno.connect({ hostname: "127.0.0.1", port: this.port, signal }).then((conn) => {
        this.#fillers.push(conn);
        // The clients' own connections fill it too.
        if (this.#fillers.length > BACKLOG / 2) full.resolve();
      }, () => {});
    }
    await withTestDeadline("an accept queue to be full", full.promise);
  }

  /** Switches on, and the next time off, that it resets every new connection. */
  toggleResets(): void {
    this.#child.signal("SIGUSR2");
  }

  /** The requests that it has received, one line each. */
  async requestLog(): Promise<string[]> {
    return (await Deno.readTextFile(this.#plan.requestLog)).split("\n").filter((line) =>
      line !== ""
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#filling.abort();
    for (const conn of this.#fillers) conn.close();
    this.thaw();
    await this.kill();
  }
}

async function launch(plan: CountingPlan): Promise<[number, Child]> {
  const listening = Promise.withResolvers<number>();
  const complaints: string[] = [];
  const child = new Child(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", "-A", PROGRAM, JSON.stringify(plan)],
    onOut: (line) => listening.resolve(Number(line)),
    onErr: (line) => complaints.push(line),
  });
  const what = `upstream ${plan.says} to listen`;
  return [await withTestDeadline(what, listening.promise, () => complaints.join("\n")), child];
}
