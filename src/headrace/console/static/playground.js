// The playground: sends what was said to one or two models and shows the streams as they come. Words
// of models are put in as text, never as HTML.
(function () {
  "use strict";
  const form = document.getElementById("talk");
  if (!form) return;
  const csrf = document.querySelector("meta[name=csrf]").content;
  const send = document.getElementById("send");
  const stop = document.getElementById("stop");
  const past = { left: [], right: [] };
  let running = [];

  function put(parent, kind, text) {
    const part = document.createElement("p");
    part.className = kind;
    part.textContent = text;
    parent.append(part);
    parent.scrollTop = parent.scrollHeight;
    return part;
  }

  async function ask(side, model, words) {
    const log = document.getElementById("said-" + side);
    put(log, "mine", words);
    past[side].push({ role: "user", content: words });
    const system = form.elements.system.value.trim();
    const messages = (system ? [{ role: "system", content: system }] : []).concat(past[side]);
    const answer = put(log, "theirs", "");
    const facts = put(log, "facts", model);
    const abort = new AbortController();
    running.push(abort);
    let call = "";
    try {
      const response = await fetch(form.dataset.ask, {
        method: "POST",
        headers: { "x-csrf-token": csrf },
        body: new URLSearchParams({ model: model, messages: JSON.stringify(messages) }),
        signal: abort.signal,
      });
      if (response.status === 401) { location.reload(); return; }
      if (!response.ok) {
        const kind = response.headers.get("content-type") || "";
        const said = kind.includes("json") ? (await response.json()).message : "This was refused.";
        throw new Error(said);
      }
      call = response.headers.get("x-call");
      await read(response, answer, log);
      past[side].push({ role: "assistant", content: answer.textContent });
    } catch (fault) {
      past[side].pop();
      put(log, "fault", fault.name === "AbortError" ? "Stopped." : fault.message);
    } finally {
      running = running.filter(function (one) { return one !== abort; });
    }
    if (call) await tell(call, facts, model);
  }

  async function read(response, answer, log) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "", ended = false;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data:")) continue;
        const data = line.slice(5).trim();
        if (data === "[DONE]") { ended = true; continue; }
        const event = JSON.parse(data);
        if (event.error) throw new Error(event.error.message);
        for (const choice of event.choices || []) {
          if (choice.delta && choice.delta.content) answer.textContent += choice.delta.content;
        }
        log.scrollTop = log.scrollHeight;
      }
    }
    if (!ended) throw new Error("The answer broke off.");
  }

  // The ledger has a call a moment after it ended.
  async function tell(call, facts, model) {
    for (let turn = 0; turn < 20; turn++) {
      await new Promise(function (go) { setTimeout(go, 300 + 100 * turn); });
      const page = await fetch(form.dataset.cost + "/" + encodeURIComponent(call));
      const told = page.ok ? await page.json() : {};
      if (!told.href) continue;
      const link = document.createElement("a");
      link.href = told.href;
      link.textContent = told.cost;
      facts.textContent = model + " on " + told.backend + ": " + told.tokens + ", " + told.took + ", first token " + told.first + ", ";
      facts.append(link);
      return;
    }
  }

  form.addEventListener("submit", async function (event) {
    event.preventDefault();
    const words = form.elements.prompt.value.trim();
    if (!words) return;
    form.elements.prompt.value = "";
    send.disabled = true;
    stop.disabled = false;
    const asked = [];
    for (const side of ["left", "right"]) {
      const model = form.elements[side].value;
      if (model) asked.push(ask(side, model, words));
    }
    await Promise.all(asked);
    send.disabled = false;
    stop.disabled = true;
    form.elements.prompt.focus();
  });

  form.elements.prompt.addEventListener("keydown", function (event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });

  stop.addEventListener("click", function () {
    for (const abort of running) abort.abort();
  });

  document.getElementById("anew").addEventListener("click", function () {
    for (const side of ["left", "right"]) {
      past[side] = [];
      document.getElementById("said-" + side).replaceChildren();
    }
  });
})();
