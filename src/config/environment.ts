/**
 * Options from environment variables. Each option has its own `FAILOVER_` name. The few general names
 * (`PORT`, `HOSTS`, `MAX_BACKOFF`) may be meant for another program and are kept in a separate layer. An
 * empty variable counts as not set.
 */
import { PROGRAM_VARIABLES } from "../base/program_variables.ts";
import { didYouMean, type Layer, type RawOption } from "./raw_option.ts";
import { envOf, type Key, KEYS, optionOf } from "./options.ts";

const OWN = new Map(KEYS.map((key) => [envOf(key), key]));
const GENERAL = new Map(KEYS.map((key) => [optionOf(key).env, key]));

/**
 * Names that begin like ours and are not options: Kubernetes and Docker links set such variables in
 * containers that run beside a service called "failover", for instance `FAILOVER_PORT=tcp://…`. The
 * variables that check programs and triggers receive are recognised as well (`program_variables.ts`).
 */
const LINKS = /^FAILOVER_(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_\w+)$/;
const SERVICE_LINK = /^(tcp|udp|sctp):\/\//;

/**
 * Reads the variables of options. An unknown `FAILOVER_` variable is a warning and not an error, because
 * another program may have set it.
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
    const raw = { written: text, origin: `environment ${name}` };
    const ownKey = OWN.get(name);
    const generalKey = GENERAL.get(name);
    if (ownKey !== undefined) own.set(ownKey, raw);
    else if (generalKey !== undefined) general.set(generalKey, raw);
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
