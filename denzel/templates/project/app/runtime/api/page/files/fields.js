// Input fields for the kinds of values that a JSON Schema describes.
//
// A field is { element, read(pointer) }.  read returns its value, undefined where an optional one is
// left empty, and notes at its input where in the request that stands (RFC 6901), so that an error of
// the API can be shown there.  It throws Unreadable for what cannot be part of a request.

import { make, newId } from "./dom.js";
import { Literal, parse, stringify } from "./json.js";

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/;

export class Unreadable extends Error {
  constructor(pointer, message) {
    super(message);
    this.pointer = pointer;
  }
}

/** Put an input under its label, with its description and room for an error. */
function labelled(input, { label, required, schema }, ...rest) {
  input.id ||= newId();
  const hint = schema.description ?? "";
  const help = make("p", { className: "hint", id: `${input.id}-hint`, hidden: !hint }, hint);
  const error = make("p", { className: "error", id: `${input.id}-error`, hidden: true });
  input.setAttribute("aria-describedby", `${help.id} ${error.id}`);
  if (required) input.setAttribute("aria-required", "true");
  const optional = required ? null : make("span", { className: "optional" }, "optional");
  const caption = make("label", { htmlFor: input.id }, label, optional);
  return make("div", { className: "field" }, caption, input, ...rest, help, error);
}

/** Return the limits of a number or text, as a placeholder tells them. */
function limits(schema) {
  const low = schema.minimum ?? schema.exclusiveMinimum;
  const high = schema.maximum ?? schema.exclusiveMaximum;
  if (low !== undefined && high !== undefined) return `${low} to ${high}`;
  if (low !== undefined) return `from ${low}`;
  return high === undefined ? "" : `up to ${high}`;
}

export function numberField(options, value) {
  const { schema } = options;
  const input = make("input", {
    type: "text",
    inputMode: schema.type === "integer" ? "numeric" : "decimal",
    autocomplete: "off",
    placeholder: limits(schema),
    value: value instanceof Literal ? value.text : (value ?? schema.default ?? ""),
  });
  const read = (pointer) => {
    input.dataset.pointer = pointer;
    const text = input.value.trim();
    if (text === "") return undefined;
    if (!NUMBER.test(text)) throw new Unreadable(pointer, `“${text}” is not a number`);
    return new Literal(text);
  };
  return { element: labelled(input, options), read };
}

export function textField(options, value) {
  const { schema } = options;
  const text = value ?? schema.default ?? "";
  const isLong = text.length > 60 || (schema.maxLength ?? 0) > 200;
  const input = make(isLong ? "textarea" : "input", {
    ...(isLong ? { rows: 4 } : { type: "text" }),
    autocomplete: "off",
    placeholder: schema.format ?? "",
    value: text,
  });
  const read = (pointer) => {
    input.dataset.pointer = pointer;
    return input.value === "" && !options.required ? undefined : input.value;
  };
  return { element: labelled(input, options), read };
}

export function choiceField(options, value) {
  const choices = options.schema.enum;
  const select = make("select", {});
  if (!options.required) select.append(make("option", { value: "" }, "—"));
  choices.forEach((choice, index) => {
    select.append(make("option", { value: String(index) }, String(choice)));
  });
  const given = plain(value) ?? options.schema.default;
  const chosen = choices.findIndex((choice) => choice === given);
  if (chosen >= 0) select.value = String(chosen);
  const read = (pointer) => {
    select.dataset.pointer = pointer;
    return select.value === "" ? undefined : choices[Number(select.value)];
  };
  return { element: labelled(select, options), read };
}

const plain = (value) => (value instanceof Literal ? Number(value.text) : value);

/** Files travel as text, in base64; an image is shown. */
export function fileField(options, value) {
  const type = options.schema.contentMediaType ?? "";
  let content = value;
  const input = make("input", { type: "file", accept: type });
  const preview = make("div", { className: "preview" });
  const show = () => {
    preview.replaceChildren();
    if (!content) return;
    const size = Math.round((content.length * 3) / 4);
    if (type.startsWith("image/")) {
      preview.append(make("img", { src: `data:${type};base64,${content}`, alt: "The image" }));
    }
    preview.append(make("span", {}, `${size.toLocaleString("en")} bytes`));
  };
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (!file) return;
    content = await base64(file);
    show();
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });
  show();
  const read = (pointer) => {
    input.dataset.pointer = pointer;
    return content;
  };
  return { element: labelled(input, options, preview), read };
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/** What no other field is made for is written as JSON. */
export function jsonField(options, value) {
  const given = value ?? options.schema.default;
  const input = make("textarea", {
    className: "code",
    rows: 4,
    spellcheck: false,
    placeholder: "JSON",
    value: given === undefined ? "" : stringify(given),
  });
  const read = (pointer) => {
    input.dataset.pointer = pointer;
    if (input.value.trim() === "") return undefined;
    try {
      return parse(input.value);
    } catch (error) {
      throw new Unreadable(pointer, `This is not JSON: ${error.message}`);
    }
  };
  return { element: labelled(input, options), read };
}
