/** The output of `--print-config` and `--check-config`. It never contains secrets or passwords. */
import { formatAddress } from "../base/address.ts";
import {
  type Config,
  type Key,
  KEYS,
  optionOf,
  type ProcessConfig,
  type ServiceConfig,
  yamlKeyOf,
} from "./options.ts";

/** Every option as YAML, with its origin in a comment. */
export function configText(config: Config): string {
  const lines = ["# for the whole process", ...optionLines(config.process)];
  const [only, ...others] = config.services;
  if (only !== undefined && others.length === 0) {
    lines.push("", `# service ${only.name}, ${only.mode.toUpperCase()} mode`, ...optionLines(only));
  } else {
    lines.push("", "services:");
    for (const service of config.services) {
      lines.push(`  ${yamlText(service.name)}: # ${service.mode.toUpperCase()} mode`);
      lines.push(...optionLines(service).filter(isNotName).map((line) => `    ${line}`));
    }
  }
  return lines.join("\n");
}

function isNotName(line: string): boolean {
  return !line.startsWith("name:");
}

function optionLines(part: ProcessConfig | ServiceConfig): string[] {
  const values = part as unknown as Readonly<Record<string, unknown>>;
  const lines = KEYS.filter((key) => key in values).map((key) => {
    const value = values[key];
    if (value === undefined) return { text: `# ${yamlKeyOf(key)}:`, note: "not set" };
    return { text: `${yamlKeyOf(key)}: ${valueText(key, value)}`, note: part.origins[key] };
  });
  const width = Math.min(40, Math.max(...lines.map(({ text }) => text.length)));
  return lines.map(({ text, note }) =>
    text.startsWith("#") ? `${text} ${note}` : `${text.padEnd(width)} # ${note}`
  );
}

function valueText(key: Key, value: unknown): string {
  const option = optionOf(key);
  return option.secret ? '"***"' : yamlText(option.kind.print(value));
}

/** Text as a YAML scalar, quoted where YAML could read it differently. */
export function yamlText(text: string): string {
  return /^[A-Za-z0-9/][\w./-]*$/.test(text) ? text : JSON.stringify(text);
}

/** The summary of `--check-config`: the options are good, one line for each service, then the warnings. */
export function summary(config: Config, warnings: readonly string[]): string {
  const services = config.services.map((service) => {
    const tcp = service.mode === "tcp";
    const count = tcp ? service.hosts.length : 1 + (service.backup?.length ?? 0);
    const address = formatAddress(tcp ? service.bind : service.listen);
    const upstreams = `${count} upstream${count === 1 ? "" : "s"}`;
    return `service ${service.name} listens on ${address}, ${service.mode.toUpperCase()} mode, ${upstreams}`;
  });
  return [
    `Config is good: ${services.join("; ")}`,
    ...warnings.map((warning) => `Warning: ${warning}`),
  ].join("\n");
}
