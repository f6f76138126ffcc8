// The models of the page, and their code.

import { hasVectors } from "./engine.js";

/** An error whose message is a sentence for the visitor. */
export class Trouble extends Error {}

async function load(path) {
  let answer;
  try {
    answer = await fetch(path);
  } catch {
    throw new Trouble(
      `${path} could not be loaded: the server of this page does not answer.`,
    );
  }
  if (!answer.ok) {
    throw new Trouble(
      `${path} is missing on the server of this page ` +
        `(status ${answer.status}): build the page again with deploy/web.py.`,
    );
  }
  return answer;
}

/** What deploy/web.py put in: models and examples. */
export const contents = async () => (await load("contents.json")).json();

/** The code of a model, of a file that WebAssembly takes. */
export async function code(model) {
  const path = hasVectors() ? model.vectors : model.plain;
  const bytes = await (await load(path)).arrayBuffer();
  if (!WebAssembly.validate(bytes)) {
    throw new Trouble(
      `${path} is damaged: build the page again with deploy/web.py.`,
    );
  }
  return bytes;
}

export const bytesOf = async (path) => (await load(path)).arrayBuffer();
