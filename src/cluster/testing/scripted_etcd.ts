/** A peer on a real socket in place of etcd. */
import { acceptedBy } from "../../../tests/harness/accepted.ts";

/** A peer that answers as its script says, or closes the connection. */
export class ScriptedEtcd implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #script: (path: string, headers: Headers) => object | undefined;
  readonly #work: Promise<void>;

  constructor(script: (path: string, headers: Headers) => object | undefined) {
    this.#script = script;
    this.#work = this.#accept();
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#listener.addr.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#work;
  }

  async #accept(): Promise<void> {
    try {
      for await (const conn of acceptedBy(this.#listener)) {
        await this.#answer(conn).finally(() => conn.close());
      }
    } catch {
      // It is closed.
    }
  }

  async #answer(conn: Deno.TcpConn): Promise<void> {
    const buffer = new Uint8Array(10_000);
    let text = "";
    while (!/\r\n\r\n.*\}$/s.test(text)) {
      const count = await conn.read(buffer);
      if (count === null) return;
      text += new TextDecoder().decode(buffer.subarray(0, count));
    }
    const [first = "", ...fields] = text.split("\r\n\r\n", 1)[0]!.split("\r\n");
    const headers = new Headers(fields.map((line) => line.split(": ") as [string, string]));
    const body = this.#script(first.split(" ")[1]!, headers);
    if (body === undefined) return;
    const json = JSON.stringify(body);
    await conn.write(new TextEncoder().encode(
      `HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ${json.length}\r\n\r\n${json}`,
    ));
  }
}
