"use strict";
// Draw every chart, and open the certificate that a link leads to.
(() => {
  rewindnet.start();
  const open = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") target.open = true;
  };
  addEventListener("hashchange", open);
  open();
})();
