/**
 * A small server, run as a separate process so that it can be killed, frozen and started again. It
 * reads one line after another and answers each; what it can be asked is the table `ANSWERS`. Its only
 * argument is an `UpstreamPlan` in JSON. When it listens it says where, as one line on stdout.
 */
import { LineConn } from "./line_conn.ts";

export interface UpstreamPlan {
  /** Its name, and its answer to `who`. */
  readonly says: string;
  readonly listen:
    | { readonly transport: "tcp"; readonly hostname: string; readonly port: number }
    | { readonly transport: "unix"; readonly path: string };
  /** Length of the accept queue. */
  readonly backlog: number;
  /** Says its name to each client, asks nothing, and closes. */
  readonly greets: boolean;
  /** Each connection begins with a line of the PROXY protocol, version 1. */
  readonly proxyLine: boolean;
}

interface Session {
  readonly wire: LineConn;
  readonly proxyLine: string;
}

class Upstream {
  readonly #plan: UpstreamPlan;
  #connections = 0;
  /** What came after `finish`, once its sender has finished too. */
  readonly #tail = Promise.withResolvers<string>();
  /** Bytes of bulk data that the sockets have taken so far, over all sessions. */
  #sent = 0;

  constructor(plan: UpstreamPlan) {
    this.#plan = plan;
  }

  /** What each command is answered with; undefined ends the session. */
  readonly #answers: Readonly<
    Record<string, (session: Session, argument: string) => Promise<string | undefined>>
  > = {
    who: () => Promise.resolve(this.#plan.says),
    echo: (_, text) => Promise.resolve(text),
    connections: () => Promise.resolve(String(this.#connections)),
    sent: () => Promise.resolve(String(this.#sent)),
    /** The PROXY line that this very session began with. */
    proxied: (session) => Promise.resolve(session.proxyLine),
    /** Reads on until the client finishes, and only then says how much it was. */
    drink: async (session) => `drank ${(await session.wire.rest()).length}`,
    /** Finishes first, then reads on until the client finishes; `tail` is what that was. */
    finish: async (session) => {
      await session.wire.say("last words");
      await session.wire.closeWrite();
      this.#tail.resolve(await session.wire.rest());
      return undefined;
    },
    tail: () => this.#tail.promise,
    /** Bulk data both ways at once; answers with both checksums, the sent one first. */
    exchange: async ({ wire }, bytes) => {
      const [sent, received] = await Promise.all([
        this.#sendBulk(wire, Number(bytes)),
        wire.receiveBulk(Number(bytes)),
      ]);
      return `${sent} ${received}`;
    },
    /** Likewise, but reads nothing before everything is sent. */
    exchangeLate: async ({ wire }, bytes) => {
      const sent = await this.#sendBulk(wire, Number(bytes));
      return `${sent} ${await wire.receiveBulk(Number(bytes))}`;
    },
    bye: () => Promise.resolve(undefined),
  };

  #sendBulk(wire: LineConn, bytes: number): Promise<string> {
    const before = this.#sent;
    return wire.sendBulk(bytes, (sent) => this.#sent = before + sent);
  }

  /** Serves one client. A client that breaks off is no business of anyone else. */
  async serve(conn: Deno.Conn): Promise<void> {
    const wire = new LineConn(conn);
    this.#connections++;
    try {
      if (this.#plan.greets) return await wire.say(this.#plan.says);
      const proxyLine = this.#plan.proxyLine ? await wire.line() ?? "" : "";
      for (let line = await wire.line(); line !== undefined; line = await wire.line()) {
        const [command = "", argument = ""] = line.split(" ", 2);
        const answer = await this.#answers[command]?.({ wire, proxyLine }, argument);
        if (answer === undefined) return;
        await wire.say(answer);
      }
    } catch {
      // The client is gone; there is no one to answer.
    } finally {
      wire.close();
    }
  }
}

if (import.meta.main) {
  const plan: UpstreamPlan = JSON.parse(Deno.args[0]!);
  const upstream = new Upstream(plan);
  const listener = plan.listen.transport === "tcp"
    ? Deno.listen({ ...plan.listen, tcpBacklog: plan.backlog })
    : Deno.listen(plan.listen);
  console.log(JSON.stringify(listener.addr));
  for await (const conn of listener) void upstream.serve(conn);
}
