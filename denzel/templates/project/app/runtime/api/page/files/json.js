// JSON whose numbers keep the text they were written as.  JavaScript would make 1 of 1.0, which Python
// tells apart, and round integers beyond 2^53.

/** A number as it is written in JSON. */
export class Literal {
  constructor(text) {
    this.text = text;
  }
}

/** Return the value of a JSON text, its numbers as Literals; throws SyntaxError. */
export function parse(text) {
  return JSON.parse(text, (_, value, context) =>
    // Browsers without context.source (before 2025) give the number itself.
    typeof value === "number" && context?.source ? new Literal(context.source) : value,
  );
}

/** Return a value as JSON, indented by two spaces. */
export function stringify(value, indent = "") {
  if (value instanceof Literal) return value.text;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const deeper = `${indent}  `;
  const items = Array.isArray(value)
    ? value.map((item) => stringify(item, deeper))
    : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${stringify(item, deeper)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  if (items.length === 0) return open + close;
  const isShort = Array.isArray(value) && value.every((item) => typeof item !== "object" || item instanceof Literal);
  const line = items.join(", ");
  if (isShort && line.length < 70) return `${open}${line}${close}`;
  return `${open}\n${deeper}${items.join(`,\n${deeper}`)}\n${indent}${close}`;
}
