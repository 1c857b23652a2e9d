/**
 * `--with OPTION=VALUE` of `replay`: the options on which decisions depend, by the names and values of the
 * proxy's own table of options. Pure.
 */
import { ConfigError } from "../base/config_error.ts";
import { quote } from "../config/kinds.ts";
import { flagOf, type Key, KEYS, optionOf, yamlKeyOf } from "../config/options.ts";
import { didYouMean } from "../config/raw_option.ts";
import { badValue } from "../config/resolve.ts";
import type { Policy } from "../failover/state.ts";

/** The part of the policy that an option becomes. */
const POLICY_OF = {
  failThreshold: "fall",
  recoverThreshold: "rise",
  hold: "holdMs",
  holdWhile: "holdWhile",
  failback: "failback",
  failbackDamping: "damping",
  maxBackoff: "maxBackoffMs",
  sessionsOnDown: "sessionsOnDown",
  sessionsOnMove: "sessionsOnMove",
  grace: "graceMs",
  drainTimeout: "drainMs",
  triggerMode: "triggers",
  onTriggerFailure: "onTriggerFailure",
} as const satisfies Partial<Record<Key, keyof Policy>>;

type Usable = keyof typeof POLICY_OF;
const USABLE = Object.keys(POLICY_OF) as readonly Usable[];

/** The part of a policy that these options set, or an error in one line. */
export function otherOptions(options: readonly string[]): Partial<Policy> | string {
  let changed: Partial<Policy> = {};
  const seen = new Set<Key>();
  for (const written of options) {
    const [, name, value] = /^([^=]+)=(.+)$/s.exec(written) ?? [];
    if (name === undefined || value === undefined) {
      return `Cannot use ${quote(written)} as --with: expected OPTION=VALUE`;
    }
    const key = keyOf(name);
    if (key === undefined) {
      return `Unknown option ${quote(name)}${didYouMean(name, USABLE.map(yamlKeyOf))}`;
    }
    if (!isUsable(key)) return unusable(key);
    if (seen.has(key)) return `${yamlKeyOf(key)} is given more than once`;
    seen.add(key);
    const read = optionOf(key).kind.read(value);
    if (read instanceof ConfigError) {
      return badValue(key, { written: value, origin: "--with" }, read);
    }
    changed = { ...changed, [POLICY_OF[key]]: read };
  }
  return changed;
}

/** `fail_threshold`, `fail-threshold` and `--fail-threshold` are the same option. */
function keyOf(name: string): Key | undefined {
  const flag = `--${name.trim().replace(/^--/, "").replaceAll("_", "-")}`;
  return KEYS.find((key) => flagOf(key) === flag);
}

function isUsable(key: Key): key is Usable {
  return Object.hasOwn(POLICY_OF, key);
}

function unusable(key: Key): string {
  return `Cannot use ${yamlKeyOf(key)} as --with: recorded inputs do not tell what it would have ` +
    `changed; ${USABLE.map(yamlKeyOf).join(", ")} can be used`;
}
