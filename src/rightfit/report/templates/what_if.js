(function () {
  "use strict";
  var box = document.getElementById("what-if");
  if (!box) { return; }
  var data = JSON.parse(document.getElementById("what-if-data").textContent);
  var known = data.rows.map(function (row) { return row.n; });
  var inputs = Array.prototype.slice.call(box.querySelectorAll("input"));
  var best = box.querySelector("output.best");
  function scale(input) {
    var values = data.rows.map(function (row) { return row[input.name]; }).filter(function (v) { return v > 0; });
    if (values.length < 2) { return null; }
    return [Math.min.apply(null, values) / 1.05, Math.max.apply(null, values) * 1.05];
  }
  function limit(input) {
    var ends = scale(input);
    return ends[0] * Math.pow(ends[1] / ends[0], input.value / 100);
  }
  function text(value, unit) {
    return (value >= 100 ? value.toFixed(0) : Number(value.toPrecision(3))) + " " + unit;
  }
  function update() {
    var open = data.rows.filter(function (row) {
      return inputs.every(function (input) { return row[input.name] !== null && row[input.name] <= limit(input); });
    });
    var names = open.map(function (row) { return row.n; });
    open.sort(function (a, b) { return data.higher ? b.v - a.v : a.v - b.v; });
    inputs.forEach(function (input) {
      input.parentNode.querySelector("output").textContent = text(limit(input), input.dataset.unit);
    });
    best.textContent = open.length
      ? box.dataset.best + " " + open[0].n + " (" + data.metric + " " + open[0].s + ", " + text(open[0].l, "ms") + ")"
      : box.dataset.none;
    Array.prototype.forEach.call(document.querySelectorAll("[data-name]"), function (mark) {
      var name = mark.getAttribute("data-name");
      mark.classList.toggle("faded", known.indexOf(name) >= 0 && names.indexOf(name) < 0);
    });
  }
  inputs = inputs.filter(function (input) {
    var usable = scale(input) !== null && data.rows.every(function (row) { return row[input.name] !== null; });
    if (!usable) { input.parentNode.remove(); }
    return usable;
  });
  if (!inputs.length) { return; }
  inputs.forEach(function (input) {
    input.addEventListener("input", update);
  });
  update();
  box.hidden = false;
})();
