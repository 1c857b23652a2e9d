/**
 * A small server, run as a separate process so that it can be killed, frozen and started again. It
 * reads one line after another and answers each; the table `ANSWERS` lists the questions. Its only
 * argument is an `UpstreamPlan` in JSON. When it listens it prints its address, as one line on stdout.
 */
import { LineConn } from "./line_conn.ts";
import { acceptedBy } from "./accepted.ts";

export interface UpstreamPlan {
  /** Its name, and its answer to `who`. */
  readonly says: string;
  readonly listen:
    | { readonly transport: "tcp"; readonly hostname: string; readonly port: number }
    | { readonly transport: "unix"; readonly path: string };
  /** Length of the accept queue. */
  readonly backlog: number;
  /** Sends its name to each client without a question, and closes. */
  readonly greets: boolean;
  /** Each connection begins with a line of the PROXY protocol, version 1. */
  readonly proxyLine: boolean;
}

interface Session {
  readonly conn: LineConn;
  readonly proxyLine: string;
}

class Upstream {
  readonly #plan: UpstreamPlan;
  #connections = 0;
  /** The bytes that arrived after `finish`, once the client has finished too. */
  readonly #tail = Promise.withResolvers<string>();
  /** Bytes of bulk data that were written to sockets so far, over all sessions. */
  #sent = 0;

  constructor(plan: UpstreamPlan) {
    this.#plan = plan;
  }

  /** The answer to each question; undefined ends the session. */
  readonly #answers: Readonly<
    Record<string, (session: Session, argument: string) => Promise<string | undefined>>
  > = {
    who: () => Promise.resolve(this.#plan.says),
    echo: (_, text) => Promise.resolve(text),
    connections: () => Promise.resolve(String(this.#connections)),
    sent: () => Promise.resolve(String(this.#sent)),
    /** The PROXY line with which this session began. */
    proxied: (session) => Promise.resolve(session.proxyLine),
    /** Reads until the client finishes, and then answers with the number of bytes. */
    drink: async (session) => `drank ${(await session.conn.rest()).length}`,
    /** Finishes first, then reads until the client finishes; `tail` answers with those bytes. */
    finish: async (session) => {
      await session.conn.say("last words");
      await session.conn.closeWrite();
      this.#tail.resolve(await session.conn.rest());
      return undefined;
    },
    tail: () => this.#tail.promise,
    /** Bulk data both ways at once; answers with both checksums, the sent one first. */
    exchange: async ({ conn }, bytes) => {
      const [sent, received] = await Promise.all([
        this.#sendBulk(conn, Number(bytes)),
        conn.receiveBulk(Number(bytes)),
      ]);
      return `${sent} ${received}`;
    },
    /** The same, but reads nothing before everything is sent. */
    exchangeLate: async ({ conn }, bytes) => {
      const sent = await this.#sendBulk(conn, Number(bytes));
      return `${sent} ${await conn.receiveBulk(Number(bytes))}`;
    },
    bye: () => Promise.resolve(undefined),
  };

  #sendBulk(conn: LineConn, bytes: number): Promise<string> {
    const before = this.#sent;
    return conn.sendBulk(bytes, (sent) => this.#sent = before + sent);
  }

  /** Serves one client. The end of one client does not affect others. */
  async serve(socket: Deno.Conn): Promise<void> {
    const conn = new LineConn(socket);
    this.#connections++;
    try {
      if (this.#plan.greets) return await conn.say(this.#plan.says);
      const proxyLine = this.#plan.proxyLine ? await conn.line() ?? "" : "";
      for (let line = await conn.line(); line !== undefined; line = await conn.line()) {
        const [command = "", argument = ""] = line.split(" ", 2);
        const answer = await this.#answers[command]?.({ conn, proxyLine }, argument);
        if (answer === undefined) return;
        await conn.say(answer);
      }
    } catch {
      // The client has left and needs no answer.
    } finally {
      conn.close();
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
  for await (const socket of acceptedBy<Deno.Conn>(listener)) void upstream.serve(socket);
}
