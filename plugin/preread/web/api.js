// Calls of this Orthanc's REST API, wherever a proxy has put it.

const root = new URL(import.meta.url).href.replace(/preread\/(ui\/)?[^/]*$/, "");

/** An answer that is no success; `status` is HTTP's, the message that of Orthanc's error JSON. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(root + path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "the server does not answer");
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, told.Details || told.Message || `HTTP ${answer.status}`);
  }
  return answer;
}

export async function get(path, options) {
  return (await call(path, options)).json();
}

export async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return (await call(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}
