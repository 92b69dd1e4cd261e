// The request that is shown, as code in other languages.

import { address } from "./api.js";
import { Literal, stringify } from "./json.js";

const MOST_CHARACTERS = 3000;
/** What is longer is read from a file. */
export const FILE = "request.json";

export const isLong = (text) => text.length > MOST_CHARACTERS;

const LANGUAGES = { curl, python, javascript };

/**
 * Return code for a request: its JSON as text and value, or its file and that one's field; its Prefer header, whether
 * a key is asked for.
 */
export function snippet(language, request) {
  return (request.file ? FILE_LANGUAGES : LANGUAGES)[language](request);
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const typeOf = (file) => file.type || "application/octet-stream";
const uriOf = ({ value, field }) =>
  address("predict") + (value.callback_uri && !field ? `?callback_uri=${encodeURIComponent(value.callback_uri)}` : "");

function curlFile({ file, field, value, prefer, needsKey }) {
  const lines = [`curl ${quoted(uriOf({ value, field }))}`];
  if (needsKey) lines.push('-H "X-API-Key: $DENZEL_API_KEY"');
  if (prefer) lines.push(`-H 'Prefer: ${prefer}'`);
  if (field) {
    lines.push(`-F ${quoted(`${field}=@"${file.name}"`)}`);
    if (value.callback_uri) lines.push(`-F ${quoted(`callback_uri=${value.callback_uri}`)}`);
  } else {
    lines.push(`-H 'Content-Type: ${typeOf(file)}'`, `--data-binary ${quoted(`@${file.name}`)}`);
  }
  return [...lines, "-o prediction"].join(" \\\n  ");
}

function pythonFile({ file, field, value, prefer, needsKey }) {
  const path = `Path(${JSON.stringify(file.name)})`;
  const headers = field ? [] : [`"Content-Type": "${typeOf(file)}"`];
  if (needsKey) headers.push('"X-API-Key": os.environ["DENZEL_API_KEY"]');
  if (prefer) headers.push(`"Prefer": "${prefer}"`);
  const body = field ? `files={${JSON.stringify(field)}: ${path}.open("rb")}` : `data=${path}.read_bytes()`;
  const fields = field && value.callback_uri ? `, data={"callback_uri": ${JSON.stringify(value.callback_uri)}}` : "";
  return [
    ...(needsKey ? ["import os"] : []),
    "from pathlib import Path", "", "import requests", "",
    `headers = {${headers.join(", ")}}`,
    `answer = requests.post("${uriOf({ value, field })}", ${body}${fields}, headers=headers, timeout=60)`,
    "answer.raise_for_status()",
    'Path("prediction").write_bytes(answer.content)',
  ].join("\n");
}

function javascriptFile({ file, field, value, prefer, needsKey }) {
  const headers = field ? [] : [`"Content-Type": "${typeOf(file)}"`];
  if (needsKey) headers.push('"X-API-Key": process.env.DENZEL_API_KEY');
  if (prefer) headers.push(`"Prefer": "${prefer}"`);
  const name = JSON.stringify(file.name);
  const form = ["const body = new FormData();", `body.append(${JSON.stringify(field)}, new Blob([content]), ${name});`];
  if (value.callback_uri) form.push(`body.append("callback_uri", ${JSON.stringify(value.callback_uri)});`);
  return [
    'import { readFile, writeFile } from "node:fs/promises";', "",
    `const content = await readFile(${name});`,
    ...(field ? form : ["const body = content;"]),
    `const headers = { ${headers.join(", ")} };`,
    `const answer = await fetch("${uriOf({ value, field })}", { method: "POST", headers, body });`,
    "if (!answer.ok) throw new Error(await answer.text());",
    'await writeFile("prediction", Buffer.from(await answer.arrayBuffer()));',
  ].join("\n");
}

const FILE_LANGUAGES = { curl: curlFile, python: pythonFile, javascript: javascriptFile };

function curl({ text, prefer, needsKey }) {
  const lines = [`curl ${address("predict")}`, "-H 'Content-Type: application/json'"];
  if (needsKey) lines.push('-H "X-API-Key: $DENZEL_API_KEY"');
  if (prefer) lines.push(`-H 'Prefer: ${prefer}'`);
  lines.push(isLong(text) ? `--data-binary @${FILE}` : `-d '${text.replaceAll("'", "'\\''")}'`);
  const asked = lines.join(" \\\n  ");
  if (!prefer.includes("respond-async")) return asked;
  const key = needsKey ? '-H "X-API-Key: $DENZEL_API_KEY" ' : "";
  return `${asked}\n\n# the answer names the task; with its id:\ncurl ${key}'${address("status/TASK_ID")}?wait=60'`;
}

function python({ text, value, prefer, needsKey }) {
  const headers = [];
  if (needsKey) headers.push('"X-API-Key": os.environ["DENZEL_API_KEY"]');
  if (prefer) headers.push(`"Prefer": "${prefer}"`);
  const imports = [
    ...(isLong(text) ? ["import json"] : []),
    ...(needsKey ? ["import os"] : []),
    ...(isLong(text) ? ["from pathlib import Path"] : []),
  ];
  const body = isLong(text) ? `json.loads(Path("${FILE}").read_text())` : pythonLiteral(value);
  const lines = [...imports, ...(imports.length ? [""] : []), "import requests", "", `request = ${body}`];
  if (headers.length) lines.push(`headers = {${headers.join(", ")}}`);
  const more = headers.length ? ", headers=headers" : "";
  lines.push(`answer = requests.post("${address("predict")}", json=request${more}, timeout=60)`);
  lines.push("answer.raise_for_status()");
  if (prefer.includes("respond-async")) {
    const keyed = needsKey ? ", headers=headers" : "";
    lines.push('task_id = answer.json()["data"]["task_id"]');
    lines.push(`url = f"${address("status/")}{task_id}?wait=60"`);
    lines.push(`print(requests.get(url${keyed}, timeout=90).json())`);
  } else {
    lines.push("print(answer.json())");
  }
  return lines.join("\n");
}

function pythonLiteral(value, indent = "") {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (value instanceof Literal || typeof value !== "object") return stringify(value);
  const deeper = `${indent}    `;
  const items = Array.isArray(value)
    ? value.map((item) => pythonLiteral(item, deeper))
    : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${pythonLiteral(item, deeper)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const line = items.join(", ");
  if (line.length < 70 && !line.includes("\n")) return `${open}${line}${close}`;
  return `${open}\n${deeper}${items.join(`,\n${deeper}`)},\n${indent}${close}`;
}

function javascript({ text, prefer, needsKey }) {
  const headers = ['"Content-Type": "application/json"'];
  if (needsKey) headers.push('"X-API-Key": process.env.DENZEL_API_KEY');
  if (prefer) headers.push(`"Prefer": "${prefer}"`);
  const lines = isLong(text) ? ['import { readFile } from "node:fs/promises";', ""] : [];
  lines.push(isLong(text) ? `const request = await readFile("${FILE}", "utf8");` : `const request = JSON.stringify(${text});`);
  lines.push(`const headers = { ${headers.join(", ")} };`);
  lines.push(`const answer = await fetch("${address("predict")}", {`);
  lines.push('  method: "POST", headers, body: request,', "});");
  lines.push("if (!answer.ok) throw new Error(await answer.text());");
  if (prefer.includes("respond-async")) {
    lines.push("const { data } = await answer.json();");
    lines.push(`const status = await fetch(\`${address("status/")}\${data.task_id}?wait=60\`, { headers });`);
    lines.push("console.log(await status.json());");
  } else {
    lines.push("console.log(await answer.json());");
  }
  return lines.join("\n");
}
