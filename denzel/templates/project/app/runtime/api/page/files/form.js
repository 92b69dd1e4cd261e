// A form made from a JSON Schema: objects as groups, maps and lists as rows that can be added.

import { make, newId } from "./dom.js";
import { Unreadable, choiceField, fileField, jsonField, numberField, textField } from "./fields.js";
import { Literal } from "./json.js";

const MOST_LEVELS = 6;

/** Return a schema with its reference followed, and without the null it also allows. */
function resolve(schema, root) {
  let found = schema ?? {};
  for (let hops = 0; found.$ref?.startsWith("#") && hops < 20; hops++) {
    const { $ref, ...beside } = found;
    const target = $ref
      .slice(2)
      .split("/")
      .reduce((value, part) => value?.[part.replaceAll("~1", "/").replaceAll("~0", "~")], root);
    found = { ...target, ...beside };
  }
  for (const keyword of ["anyOf", "oneOf"]) {
    const others = found[keyword]?.filter((each) => each.type !== "null");
    if (others?.length === 1) {
      const { [keyword]: _, ...beside } = found;
      return { ...resolve(others[0], root), ...beside };
    }
  }
  if (found.allOf?.length === 1) {
    const { allOf, ...beside } = found;
    return { ...resolve(allOf[0], root), ...beside };
  }
  if (Array.isArray(found.type)) {
    const types = found.type.filter((type) => type !== "null");
    if (types.length === 1) return { ...found, type: types[0] };
  }
  return found;
}

function escape(name) {
  return String(name).replaceAll("~", "~0").replaceAll("/", "~1");
}

/** Return a field for a value; `options` are its schema, label, and whether it is required. */
function makeField(options, value, root, level) {
  const schema = resolve(options.schema, root);
  const resolved = { ...options, schema };
  if (schema.const !== undefined) {
    return choiceField({ ...resolved, schema: { ...schema, enum: [schema.const] } }, value);
  }
  if (Array.isArray(schema.enum)) return choiceField(resolved, value);
  if (level > MOST_LEVELS) return jsonField(resolved, value);
  switch (schema.type) {
    case "number":
    case "integer":
      return numberField(resolved, value);
    case "boolean":
      return choiceField({ ...resolved, schema: { ...schema, enum: [true, false] } }, value);
    case "string":
      return isFile(schema) ? fileField(resolved, value) : textField(resolved, value);
    case "object":
      if (schema.properties) return group(resolved, isObject(value) ? value : {}, root, level);
      if (isSchema(schema.additionalProperties)) return map(resolved, isObject(value) ? value : {}, root, level);
      return jsonField(resolved, value);
    case "array":
      return isSchema(schema.items) ? list(resolved, Array.isArray(value) ? value : [], root, level) : jsonField(resolved, value);
    default:
      return jsonField(resolved, value);
  }
}

const isObject = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Literal);
const isSchema = (value) => typeof value === "object" && value !== null && Object.keys(value).length > 0;
const isFile = (schema) =>
  schema.contentEncoding === "base64" || ["byte", "binary"].includes(schema.format);

function fieldset({ label, schema }, ...children) {
  const hint = schema.description
    ? make("p", { className: "hint" }, schema.description)
    : null;
  return make("fieldset", { className: "group" }, make("legend", {}, label), hint, ...children);
}

function group(options, value, root, level) {
  const required = options.schema.required ?? [];
  const fields = Object.entries(options.schema.properties).map(([name, schema]) => [
    name,
    makeField(
      { schema, label: name, required: required.includes(name) },
      value[name],
      root,
      level + 1,
    ),
  ]);
  const element = fieldset(options, ...fields.map(([, field]) => field.element));
  // What the schema does not name has no field, but stays in the request.
  const others = Object.entries(value).filter(([name]) => !Object.hasOwn(options.schema.properties, name));
  const read = (pointer) => {
    const result = Object.create(null); // so that any name will do, __proto__ too
    for (const [name, part] of others) result[name] = part;
    for (const [name, field] of fields) {
      const part = field.read(`${pointer}/${escape(name)}`);
      if (part !== undefined) result[name] = part;
    }
    return !options.required && Object.keys(result).length === 0 ? undefined : result;
  };
  return { element, read };
}

/** Rows that can be added and removed; `row(value)` makes one. */
function rows(options, entries, makeRow, addLabel) {
  const current = [];
  const holder = make("div", { className: "rows" });
  const add = (entry, focus) => {
    const row = makeRow(entry);
    const remove = make(
      "button",
      {
        type: "button",
        className: "quiet remove",
        onclick: () => {
          current.splice(current.indexOf(row), 1);
          wrapper.remove();
          adder.focus();
          holder.dispatchEvent(new Event("input", { bubbles: true }));
        },
      },
      "Remove",
    );
    const wrapper = make("div", { className: "row" }, row.element, remove);
    current.push(row);
    holder.append(wrapper);
    if (focus) {
      wrapper.querySelector("input, select, textarea")?.focus();
      holder.dispatchEvent(new Event("input", { bubbles: true }));
    }
  };
  const adder = make(
    "button",
    { type: "button", className: "quiet", onclick: () => add(undefined, true) },
    addLabel,
  );
  for (const entry of entries) add(entry, false);
  return { current, element: fieldset(options, holder, adder) };
}

function map(options, value, root, level) {
  const item = options.schema.additionalProperties;
  let made = 0;
  const makeRow = (entry) => {
    made += 1;
    const [name, content] = entry ?? [`id${made}`, undefined];
    const input = make("input", { type: "text", id: newId(), value: name, autocomplete: "off" });
    const field = makeField({ schema: item, label: "value", required: true }, content, root, level + 1);
    const caption = make("label", { htmlFor: input.id }, "id");
    const head = make("div", { className: "field id" }, caption, input);
    return { element: make("div", { className: "entry" }, head, field.element), input, field };
  };
  const { current, element } = rows(options, Object.entries(value), makeRow, "Add");
  const read = (pointer) => {
    const result = Object.create(null); // so that any name will do, __proto__ too
    for (const { input, field } of current) {
      const place = `${pointer}/${escape(input.value)}`;
      if (Object.hasOwn(result, input.value)) {
        field.read(place);
        throw new Unreadable(place, `There are two entries called “${input.value}”`);
      }
      const part = field.read(place);
      if (part !== undefined) result[input.value] = part;
    }
    return !options.required && current.length === 0 ? undefined : result;
  };
  return { element, read };
}

function list(options, value, root, level) {
  let made = 0;
  const makeRow = (content) => {
    made += 1;
    const label = String(made);
    return makeField({ schema: options.schema.items, label, required: true }, content, root, level + 1);
  };
  const { current, element } = rows(options, value, makeRow, "Add");
  const read = (pointer) => {
    const result = current.map((field, index) => field.read(`${pointer}/${index}`) ?? null);
    return !options.required && result.length === 0 ? undefined : result;
  };
  return { element, read };
}

/** Tell whether a form can be made for a request: it is an object with named fields. */
export function canMakeForm(schema, root) {
  const resolved = resolve(schema, root);
  const names = Object.keys(resolved.properties ?? {}).filter((name) => name !== "callback_uri");
  return names.length > 0;
}

/** Return { element, read } for a whole request; `root` is the document its references lead into. */
export function makeForm(schema, value, root) {
  const { callback_uri: _, ...properties } = resolve(schema, root).properties;
  const whole = { ...resolve(schema, root), properties, description: "" };
  const given = isObject(value) ? value : {};
  const field = group({ schema: whole, label: "Request", required: true }, given, root, 0);
  field.element.classList.add("whole");
  return { element: field.element, read: () => field.read("") };
}

/** Show an error at the input of the place it is about; return whether there is one. */
export function markError(element, pointer, message) {
  for (const input of element.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    const shown = document.getElementById(`${input.id}-error`);
    if (shown) shown.hidden = true;
  }
  if (!message) return false;
  const inputs = [...element.querySelectorAll("[data-pointer]")];
  const input =
    inputs.find((each) => each.dataset.pointer === pointer) ??
    inputs.find((each) => pointer && each.dataset.pointer.startsWith(`${pointer}/`));
  if (!input) return false;
  input.setAttribute("aria-invalid", "true");
  const shown = document.getElementById(`${input.id}-error`);
  shown.textContent = message;
  shown.hidden = false;
  input.focus();
  return true;
}
