"use strict";
// Another client is chosen, with a depth, a view, a placement and an allocation: what forgetting it would take.
if (document.getElementById("requests-data")) (() => {
  const {charts, json, percent, up, text, map} = rewindnet;
  const at = name => document.getElementById("requests-" + name);
  const data = json("requests-data"), graph = json("graph-data"), {clients, releases} = data;
  const number = value => value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)
    ? Number(value.toPrecision(3)).toExponential().replace("e+", "e") : Number(value.toPrecision(3)).toString();
  const whole = count => count.toLocaleString("en-US");
  const option = (name, texts) => at(name).append(...texts.map((said, index) => {
    const made = text("option", said);
    made.value = index;
    return made;
  }));
  option("client", clients.map(client => client.title));
  option("view", data.views.map(view => `${view.view}: ${view.observer}`));
  option("placement", data.placements.map(name => ({output: "the result (output)", rewind: "the checkpoint (rewind)"})[name]));
  option("allocation", data.allocations);
  at("client").value = Math.max(0, clients.findIndex(client => client.node === data.asked));
  for (const name of ["depth", "view", "placement", "allocation"]) at(name).value = data.chosen[name];

  const chosen = () => {
    const [client, level, p, v, a] = ["client", "depth", "placement", "view", "allocation"].map(name => Number(at(name).value));
    const {reached, sigma, epsilon} = clients[client], start = data.rounds - data.depths[level];
    return {
      client: clients[client], level, depth: data.depths[level], observer: data.views[v].observer,
      sigma: sigma[p][level][v][a], epsilon: epsilon && epsilon[p][level][v][a], sigmas: data.depths.map((_, at) => sigma[p][at][v][a]),
      group: node => reached[node] < 0 ? "never" : reached[node] <= start ? "before" : "later",
    };
  };

  const colours = {before: "var(--series-1)", later: "var(--series-4)", never: graph.places.length > 2500 ? "var(--rule)" : "var(--page)"};
  const clientOf = new Map(clients.map((client, index) => [client.node, index]));
  charts.requests = (_, width) => {
    const {client, group} = chosen();
    const drawn = map(graph, width, {
      look: node => ({fill: colours[group(node)], stroke: "var(--muted)"}), rings: [client.node], names: null,
      said: node => clientOf.has(node) ? clients[clientOf.get(node)].title : `node ${node}`,
    });
    drawn.svg.addEventListener("click", () => {
      const index = drawn.svg.value ? clientOf.get(drawn.svg.value.node) : undefined;
      if (index !== undefined) { at("client").value = index; show(); }
    });
    return drawn;
  };
  const colour = ({client, group}) => {
    // A large network is drawn again, as it is few elements; a small one only changes its colours.
    if (at("network").querySelector(".specks")) return rewindnet.again(at("network"));
    const circles = [...at("network").querySelectorAll(".nodes circle")], ring = at("network").querySelector(".ring circle");
    circles.forEach((circle, node) => { circle.style.fill = colours[group(node)]; circle.dataset.group = group(node); });
    if (ring) for (const name of ["cx", "cy"]) ring.setAttribute(name, circles[client.node].getAttribute(name));
  };

  charts["requests-depths"] = (_, width) => {
    const {client, sigmas, sigma, depth} = chosen(), share = at => data.depths[at] / data.rounds;
    const points = sigmas.map((value, at) => [share(at), value]);
    if (!sigmas.some(value => value > 0)) return {above: text("p", "No noise is needed, or none is enough, at any depth.")};
    const series = [{label: `client ${client.title}`, points, marks: sigma > 0 ? [[depth / data.rounds, sigma]] : [], level: null}];
    return {...charts.against({value: `noise σ for ${wanted()}`, across: {label: "rewind depth K/T", percent: true}, series, level: null}, width), below: undefined};
  };

  const facts = listed => at("facts").replaceChildren(...listed.flatMap(([name, value]) => [text("dt", name), text("dd", value)]));
  const nearest = sigma => {
    const noisy = releases.filter(release => release.sigma > 0);
    noisy.sort((a, b) => Math.abs(Math.log(a.sigma / sigma)) - Math.abs(Math.log(b.sigma / sigma)));
    return noisy[0];
  };
  const mark = data.conditional ? "*" : "";
  const wanted = () => `ε = ${number(data.epsilon)}${mark} at δ = ${number(data.delta)}`;
  const sentence = ({client, sigma, observer}) => sigma === null
    ? `No noise of this kind protects client ${client.title} at this depth against ${observer}.`
    : sigma === 0
    ? `Nothing of client ${client.title} is left at this depth: ε = 0 without noise, against ${observer}.`
    : `If client ${client.title} deletes ${client.deleted} of its ${client.samples} samples, noise of σ = ${number(sigma)} certifies ${wanted()} against ${observer}.`;
  const accuracy = (client, {label, sigma, mean, accuracy}) =>
    `not planned; the release of this run with the most similar noise (${label}, σ = ${number(sigma)}) has ${percent(mean)} on average`
    + (client.node in accuracy ? `, ${percent(accuracy[client.node])} at this node` : "");
  const listed = ({client, depth, sigma, epsilon, group}) => {
    const groups = d3.rollup(graph.places, own => own.length, (_, node) => group(node)), count = name => groups.get(name) || 0;
    const similar = sigma > 0 ? nearest(sigma) : sigma === 0 ? releases.find(release => release.exact) : null;
    return [
      ["noise σ for " + wanted(), sigma === null ? "none is enough" : number(sigma)],
      ...(data.noise ? [[`ε with the noise of method ${data.noise.index} (σ = ${number(data.noise.sigma)})`, epsilon === null ? "none" : number(up(epsilon, 3)) + mark]] : []),
      ["rounds to learn again", `${depth} of ${data.rounds}`],
      ["light cone", `${whole(count("before"))} of ${whole(graph.places.length)} nodes by the checkpoint, ${whole(count("before") + count("later"))} by the end of learning`],
      ["links", String(client.links)],
      ...(data.norm && sigma > 0 ? [["noise against the model, σ√d/‖θ‖", number(sigma * data.norm)]] : []),
      ...(similar ? [["accuracy", accuracy(client, similar)]] : []),
    ];
  };
  const show = () => {
    const now = chosen();
    at("share").textContent = `${Math.round(100 * now.depth / data.rounds)} % (${now.depth} of ${data.rounds} rounds)`;
    at("depth").setAttribute("aria-valuetext", at("share").textContent);
    at("said").textContent = sentence(now);
    facts(listed(now));
    colour(now);
    rewindnet.again(at("depths-chart"));
  };
  at("tools").addEventListener("input", show);
  rewindnet.after.push(show);
})();
