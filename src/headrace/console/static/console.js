// Live parts of a page: what the server rendered is put in the place that bears its name. All pages
// work without scripts. A page that nobody sees holds no connection.
(function () {
  "use strict";
  // On a phone the pages stand in one line, most of them out of sight.
  const here = document.querySelector("nav [aria-current]");
  if (here) here.scrollIntoView({ block: "nearest", inline: "center" });

  const place = document.querySelector("[data-live]");
  if (!place) return;
  const state = document.querySelector("[data-live-state]");
  let source = null;

  function say(word, on) {
    if (!state) return;
    state.classList.toggle("off", !on);
    state.querySelector("[data-live-word]").textContent = word;
  }

  function show(event) {
    // Taken before the page was made: of a time when what was just done was not done yet.
    if (Number(event.lastEventId) < Number(place.dataset.at || 0)) return;
    const parts = JSON.parse(event.data);
    for (const where of document.querySelectorAll("[data-part]")) {
      const html = parts[where.dataset.part];
      if (html === undefined || where.lastHtml === html) continue;
      where.lastHtml = html;
      where.innerHTML = html;
    }
    say("Live", true);
  }

  function open() {
    if (source) return;
    source = new EventSource(place.dataset.live);
    source.addEventListener("parts", show);
    source.addEventListener("gone", function () { location.reload(); });
    source.onerror = function () {
      say("Connecting", false);
      if (source.readyState === EventSource.CLOSED) {
        source = null;
        setTimeout(function () { if (!document.hidden) open(); }, 5000);
      }
    };
  }

  function close() {
    if (source) source.close();
    source = null;
    say("Paused", false);
  }

  document.addEventListener("visibilitychange", function () {
    if (document.hidden) close(); else open();
  });
  if (!document.hidden) open();
})();
