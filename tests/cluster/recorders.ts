/** Two small servers that take writes while a file says that they are the primary: see `recorder_program.ts`. */
import { Child, linesOf } from "../harness/child.ts";
import type { Folder } from "../harness/folder.ts";
import type { Flags } from "../harness/proxy.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";
import type { Server, Servers } from "./servers.ts";
import { type Link, WRITE_MS } from "./writer.ts";

const PROGRAM = new URL("./recorder_program.ts", import.meta.url).pathname;

/** A server that takes writes. */
class Recorder implements Server {
  readonly name: string;
  readonly #port = unusedPort();
  readonly #folder: Folder;
  #child: Child | undefined;
  #faults = 0;

  constructor(folder: Folder) {
    this.name = `127.0.0.1:${this.#port}`;
    this.#folder = folder;
  }

  /** It runs again when the last fault that keeps it down has ended. */
  async start(): Promise<void> {
    if (--this.#faults === 0) await this.run();
  }

  async run(): Promise<void> {
    const begun = Promise.withResolvers<void>();
    this.#child = new Child(Deno.execPath(), {
      args: [
        ...["run", "-A", "--quiet", "--no-check", PROGRAM, this.name, String(this.#port)],
        ...[this.#folder.at(`store-${this.name}`), this.#folder.at("primary")],
      ],
      onOut: () => begun.resolve(),
    });
    await withTestDeadline("a recorder", begun.promise);
  }

  async kill(): Promise<void> {
    this.#faults++;
    await this.#child?.kill();
  }
}

/** A pair of them. The trigger, which writes the file, copies what only the other one has. */
export class Recorders implements Servers {
  readonly flags: Flags = {};
  readonly pace = { pauseMs: 50, perLink: 1 };
  readonly promote = `touch "store-$FAILOVER_TO"
for store in store-*; do
  [ "$store" = "store-$FAILOVER_TO" ] && continue
  grep -vxFf "store-$FAILOVER_TO" "$store" >missing && cat missing >>"store-$FAILOVER_TO"
done
true`;
  readonly #folder: Folder;

  private constructor(folder: Folder, readonly first: Server, readonly second: Server) {
    this.#folder = folder;
  }

  static async start(folder: Folder): Promise<Recorders> {
    const [first, second] = [new Recorder(folder), new Recorder(folder)];
    await Promise.all([first.run(), second.run()]);
    return new Recorders(folder, first, second);
  }

  async open(address: string): Promise<Link> {
    const [hostname, port] = address.split(":") as [string, string];
    const conn = await Deno.connect({ hostname, port: Number(port) });
    return { write: (id) => write(conn, id), [Symbol.dispose]: () => close(conn) };
  }

  async rows(name: string): Promise<ReadonlySet<string>> {
    const text = await this.#folder.read(`store-${name}`).catch(() => "");
    return new Set(text.split("\n"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.first.kill(), this.second.kill()]);
  }
}

async function write(conn: Deno.TcpConn, id: string): Promise<string> {
  const timer = setTimeout(() => close(conn), WRITE_MS);
  try {
    await conn.write(new TextEncoder().encode(`${id}\n`));
    for await (const line of linesOf(conn.readable)) {
      const [, name] = line.split(`ok ${id} `);
      if (name !== undefined) return name;
    }
  } finally {
    clearTimeout(timer);
  }
  throw new Error("not acknowledged");
}

function close(conn: Deno.TcpConn): void {
  try {
    conn.close();
  } catch {
    // It is closed already.
  }
}
