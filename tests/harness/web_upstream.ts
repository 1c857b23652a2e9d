/**
 * Web servers as upstreams: Node's in a separate process, Debian's nginx, and one of raw sockets that
 * misbehaves in a way that depends on the path.
 */
import { Child } from "./child.ts";
import { Folder } from "./folder.ts";
import { withTestDeadline } from "./test_deadline.ts";
import { ask } from "./web_client.ts";
import type { Behaviour, WebPlan } from "./web_upstream_program.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** Anything that can be given as `--primary` or `--backup`. */
export interface WebNamed {
  readonly url: string;
}

const PROGRAM = new URL("./web_upstream_program.ts", import.meta.url).pathname;

export class WebUpstream implements WebNamed, AsyncDisposable {
  readonly says: string;
  readonly url: string;
  /** Its address in the form of `connectTo`. */
  readonly address: string;
  readonly #plan: WebPlan;
  #child: Child | undefined;
  /** The wait for its next line. */
  #line = Promise.withResolvers<string>();

  private constructor(plan: WebPlan) {
    this.#plan = plan;
    this.says = plan.says;
    this.address = `127.0.0.1:${plan.port}`;
    this.url = `http://${this.address}`;
  }

  static async start(says: string, requestLog?: string): Promise<WebUpstream> {
    const place = { says, port: unusedPort() };
    const upstream = new WebUpstream(requestLog === undefined ? place : { ...place, requestLog });
    await upstream.restart();
    return upstream;
  }

  /** Starts it, or starts it again at its address. */
  async restart(): Promise<void> {
    await this.kill();
    const complaints: string[] = [];
    this.#line = Promise.withResolvers();
    const listening = this.#line.promise;
    this.#child = new Child(Deno.execPath(), {
      args: ["run", "--quiet", "--no-check", "-A", PROGRAM, JSON.stringify(this.#plan)],
      onOut: (line) => {
        this.#line.resolve(line);
        this.#line = Promise.withResolvers();
      },
      onErr: (line) => complaints.push(line),
    });
    const ended = this.#child.ended.then(() => {
      throw new Error(`web upstream ${this.says} ended:\n${complaints.join("\n")}`);
    });
    // Later the test itself ends it.
    ended.catch(() => {});
    const what = `web upstream ${this.says} to listen`;
    await withTestDeadline(what, Promise.race([listening, ended]), () => complaints.join("\n"));
  }

  /** Resolves when it begins to handle a request for `/wait`, from now on. */
  async isWaiting(): Promise<void> {
    await withTestDeadline("a request to wait", this.#line.promise);
  }

  /** Changes how it treats all requests. */
  async behave(as: Behaviour): Promise<void> {
    await ask(this.address, `/behave?as=${as}`);
  }

  /** Sends a request to it directly, without a proxy. */
  async ask(target: string): Promise<string> {
    return (await ask(this.address, target)).text;
  }

  /** Kills it. Resolves when its port refuses connections. */
  async kill(): Promise<void> {
    await this.#child?.kill();
  }

  async freeze(): Promise<void> {
    await this.#child?.freeze();
  }

  thaw(): void {
    this.#child?.thaw();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** nginx with one page whose text is `says`, in one process, so that nothing is left when it is killed. */
export class Nginx implements WebNamed, AsyncDisposable {
  readonly url: string;
  readonly #folder: Folder;
  readonly #port: number;
  #child: Child | undefined;

  private constructor(folder: Folder, port: number) {
    this.#folder = folder;
    this.#port = port;
    this.url = `http://127.0.0.1:${port}`;
  }

  static async start(says: string): Promise<Nginx> {
    const nginx = new Nginx(await Folder.make(), unusedPort());
    await nginx.#folder.write("nginx.conf", nginxConfig(nginx.#folder.path, nginx.#port, says));
    await nginx.#folder.write("large.txt", "0123456789".repeat(10_000));
    await nginx.restart();
    return nginx;
  }

  async restart(): Promise<void> {
    await this.kill();
    const log: string[] = [];
    this.#child = new Child("nginx", {
      args: ["-c", this.#folder.at("nginx.conf"), "-e", "stderr"],
      onErr: (line) => log.push(line),
    });
    await withTestDeadline("nginx to listen", this.#answers(), () => log.join("\n"));
  }

  async #answers(): Promise<void> {
    for (;;) {
      try {
        await ask(`127.0.0.1:${this.#port}`, "/");
        return;
      } catch (error) {
        if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
        if (this.#child!.hasEnded) throw new Error("nginx ended");
      }
    }
  }

  async kill(): Promise<void> {
    await this.#child?.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#folder[Symbol.asyncDispose]();
  }
}

function nginxConfig(folder: string, port: number, says: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `  ${name}_temp_path ${folder}/${name};`);
  return `daemon off;
master_process off;
user root;
pid ${folder}/nginx.pid;
events { worker_connections 256; }
http {
  access_log off;
${temporary.join("\n")}
  gzip on;
  gzip_proxied any;
  gzip_types text/plain;
  default_type text/plain;
  server {
    listen 127.0.0.1:${port};
    location = / { return 200 "${says}"; }
    location / { root ${folder}; }
  }
}
`;
}

/** The bytes that a raw upstream sends for a path; `reset` ends with a reset instead of an orderly end. */
export interface RawResponse {
  readonly says: string;
  readonly reset?: boolean;
}

/** An upstream of raw sockets: sends the `responses` of some paths, and a valid response for all others. */
export async function rawWebUpstream(
  responses: Readonly<Record<string, RawResponse>>,
): Promise<WebNamed & AsyncDisposable> {
  const { createServer } = await import("node:net");
  const server = createServer((socket) => {
    // A client may close the connection to such a server.
    socket.on("error", () => {});
    let text = "";
    socket.on("data", (data: Uint8Array) => {
      text += new TextDecoder().decode(data);
      if (!text.includes("\r\n\r\n")) return;
      const path = text.split(" ")[1]!;
      text = "";
      const misdeed = responses[path];
      const says = misdeed?.says ?? "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";
      socket.write(says, () => {
        if (misdeed === undefined) return;
        if (misdeed.reset) socket.resetAndDestroy();
        else socket.end();
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
