/** A pair of web servers behind the real program in HTTP mode, and its control socket. */
import type { Flags } from "./proxy.ts";
import { Control } from "./control.ts";
import { startWebProxy, type WebProxy } from "./web_proxy.ts";
import { WebUpstream } from "./web_upstream.ts";

export interface WebPair extends AsyncDisposable {
  readonly primary: WebUpstream;
  readonly backup: WebUpstream;
  readonly proxy: WebProxy;
  readonly control: Control;
}

/** Starts all of them; resolves when the proxy serves from the primary. */
export async function startWebPair(flags: Flags): Promise<WebPair> {
  await using parts = new AsyncDisposableStack();
  const control = parts.use(await Control.make());
  const primary = parts.use(await WebUpstream.start("primary"));
  const backup = parts.use(await WebUpstream.start("backup"));
  const proxy = parts.use(
    await startWebProxy({
      primary,
      backups: [backup],
      flags: { ...flags, control: control.path },
    }),
  );
  const owned = parts.move();
  return { primary, backup, proxy, control, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
