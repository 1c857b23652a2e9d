/**
 * Options from environment variables. Every one has a `FAILOVER_` name of its own; the few general names
 * (`PORT`, `HOSTS`, `MAX_BACKOFF`) may be meant for another program and are kept apart. A variable that
 * is empty counts as not set.
 */
import { didYouMean, type Given, type Layer } from "./given.ts";
import { envOf, type Key, KEYS, optionOf } from "./options.ts";

const OWN = new Map(KEYS.map((key) => [envOf(key), key]));
const GENERAL = new Map(KEYS.map((key) => [optionOf(key).env, key]));

/**
 * Names that look like ours and aren't options: what trigger programs are told, and what Kubernetes and
 * Docker links put into containers beside a service called "failover" (`FAILOVER_PORT=tcp://…` among it).
 */
const NOT_OPTIONS =
  /^FAILOVER_(EVENT|EVENT_ID|EPOCH|FROM|TO|REASON|SERVICE|SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_\w+)$/;
const SERVICE_LINK = /^(tcp|udp|sctp):\/\//;

/** Reads the variables that are ours. */
export function readEnvironment(env: Readonly<Record<string, string>>): {
  own: Layer;
  general: Layer;
  mistakes: string[];
  warnings: string[];
} {
  const own = new Map<Key, Given>();
  const general = new Map<Key, Given>();
  const mistakes: string[] = [];
  const warnings: string[] = [];
  for (const [name, text] of Object.entries(env)) {
    if (text === "" || NOT_OPTIONS.test(name) || SERVICE_LINK.test(text)) continue;
    const given = { written: text, origin: `environment ${name}` };
    const ownKey = OWN.get(name);
    const generalKey = GENERAL.get(name);
    if (ownKey !== undefined) own.set(ownKey, given);
    else if (generalKey !== undefined) general.set(generalKey, given);
    else if (name.startsWith("FAILOVER_")) {
      const known = [...OWN.keys(), ...GENERAL.keys()].filter((each) => each !== undefined);
      const hint = didYouMean(name, known);
      // One that resembles nothing is more likely meant for a script than a slip of the pen.
      (hint === "" ? warnings : mistakes).push(`Unknown environment variable ${name}${hint}`);
    }
  }
  return {
    own: { entries: own, shared: false },
    general: { entries: general, shared: true },
    mistakes,
    warnings,
  };
}
