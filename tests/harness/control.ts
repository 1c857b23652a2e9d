/** A client of the control socket of a running proxy. */

/** A control socket in a separate folder, and requests to it. */
export class Control implements AsyncDisposable {
  readonly path: string;
  readonly #folder: string;
  readonly #client: Deno.HttpClient;

  private constructor(folder: string) {
    this.#folder = folder;
    this.path = `${folder}/failover.sock`;
    this.#client = Deno.createHttpClient({ proxy: { transport: "unix", path: this.path } });
  }

  static async make(): Promise<Control> {
    return new Control(await Deno.makeTempDir({ prefix: "failover-control-" }));
  }

  /** `GET /__failover/PATH`; rejects after `deadlineMs` if there is one. */
  async get(path: string, deadlineMs?: number): Promise<Response> {
    return await fetch(`http://localhost/__failover/${path}`, {
      client: this.#client,
      ...deadlineMs === undefined ? {} : { signal: AbortSignal.timeout(deadlineMs) },
    });
  }

  /** `POST /__failover/ORDER`: the status and the answer. */
  readonly order = async (
    order: string,
    deadlineMs?: number,
  ): Promise<readonly [number, Record<string, unknown>]> => {
    const url = `http://localhost/__failover/${order}`;
    const response = await fetch(url, {
      method: "POST",
      client: this.#client,
      ...deadlineMs === undefined ? {} : { signal: AbortSignal.timeout(deadlineMs) },
    });
    return [response.status, await response.json()];
  };

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    await Deno.remove(this.#folder, { recursive: true });
  }
}
