/** A proxy for two upstreams whose failover to the backup takes as long as the test wants. */
import { Folder, waitForFile } from "./folder.ts";
import { type Proxy, startProxy } from "./proxy.ts";
import { startUpstream, type UpstreamProcess } from "./upstream.ts";

export interface BlockingTrigger extends AsyncDisposable {
  readonly primary: UpstreamProcess;
  readonly backup: UpstreamProcess;
  readonly proxy: Proxy;
  /** Lets the trigger end. */
  readonly endTrigger: () => Promise<void>;
}

/**
 * Starts both upstreams, and the proxy with these flags. The trigger ends at once for the primary, and for the
 * backup when `endTrigger` is called.
 */
export async function startWithBlockingTrigger(
  flags: Readonly<Record<string, string | true>>,
): Promise<BlockingTrigger> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await Folder.make());
  const primary = stack.use(await startUpstream({ says: "primary" }));
  const backup = stack.use(await startUpstream({ says: "backup" }));
  const trigger = await folder.script(
    "trigger.sh",
    `[ "$1" = '${primary.name}' ] && exit 0\n${waitForFile("go")}`,
  );
  const proxy = stack.use(
    await startProxy({ upstreams: [primary, backup], flags: { ...flags, "on-failover": trigger } }),
  );
  const owned = stack.move();
  return {
    primary,
    backup,
    proxy,
    endTrigger: async () => {
      await folder.write("go", "");
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
