/**
 * Options from environment variables. Every one has a `FAILOVER_` name of its own; the few general names
 * (`PORT`, `HOSTS`, `MAX_BACKOFF`) may be meant for another program and are kept apart. A variable that
 * is empty counts as not set.
 */
import { PROGRAM_VARIABLES } from "../base/program_variables.ts";
import { didYouMean, type Layer, type RawOption } from "./raw_option.ts";
import { envOf, type Key, KEYS, optionOf } from "./options.ts";

const OWN = new Map(KEYS.map((key) => [envOf(key), key]));
const GENERAL = new Map(KEYS.map((key) => [optionOf(key).env, key]));

/**
 * Names that look like ours and aren't options, besides those that our programs are told: what Kubernetes
 * and Docker links put into containers beside a service called "failover" (`FAILOVER_PORT=tcp://…` among it).
 */
const LINKS = /^FAILOVER_(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_\w+)$/;
const SERVICE_LINK = /^(tcp|udp|sctp):\/\//;

/**
 * Reads the variables that are ours. One that nobody knows is a warning and not a mistake, because any
 * program may have put it there.
 */
export function readEnvironment(env: Readonly<Record<string, string>>): {
  own: Layer;
  general: Layer;
  warnings: string[];
} {
  const own = new Map<Key, RawOption>();
  const general = new Map<Key, RawOption>();
  const warnings: string[] = [];
  const known = [...OWN.keys(), ...GENERAL.keys()].filter((each) => each !== undefined);
  for (const [name, text] of Object.entries(env)) {
    if (text === "" || name in PROGRAM_VARIABLES) continue;
    if (LINKS.test(name) || SERVICE_LINK.test(text)) continue;
    const given = { written: text, origin: `environment ${name}` };
    const ownKey = OWN.get(name);
    const generalKey = GENERAL.get(name);
    if (ownKey !== undefined) own.set(ownKey, given);
    else if (generalKey !== undefined) general.set(generalKey, given);
    else if (name.startsWith("FAILOVER_")) {
      warnings.push(`Unknown environment variable ${name}${didYouMean(name, known)}`);
    }
  }
  return {
    own: { entries: own, shared: false },
    general: { entries: general, shared: true },
    warnings,
  };
}
