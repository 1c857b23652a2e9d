/**
 * Chooses the engine that moves the bytes. All engines behave alike (see `testing/contract.ts`); they
 * differ in speed and in where they run. The choice and its reason are published once.
 */
import {
  EngineUnavailable,
  type Relay,
  type RelayContext,
  type RelaySettings,
  type StartEngine,
} from "./engine.ts";
import { makePortableRelay } from "./portable/portable.ts";

/** What the operator may ask for. `auto` takes the fastest engine that runs here. */
export type EngineChoice = "auto" | "stream" | "splice";

/** Makes a relay, with its port closed. Fails only if `choice` is `splice` and that cannot run here. */
export function startRelay(
  choice: EngineChoice,
  settings: RelaySettings,
  context: RelayContext,
  splice: StartEngine,
): Relay | EngineUnavailable {
  const { publish } = context;
  const portable = (reason: string) => {
    publish({ type: "relay.chosen", engine: "stream", reason });
    if (settings.workers > 1) {
      const warning = `the stream engine has one thread: workers ${settings.workers} has no effect`;
      publish({ type: "config.warned", warning });
    }
    return makePortableRelay(settings, context);
  };
  if (choice === "stream") return portable("it was asked for");
  const relay = splice(settings, context);
  if (!(relay instanceof EngineUnavailable)) {
    const reason = choice === "splice" ? "it was asked for" : "it is the fastest on this system";
    publish({ type: "relay.chosen", engine: "splice", reason });
    return relay;
  }
  if (choice === "splice") return relay;
  return portable(`splice cannot run: ${relay.reason}`);
}
