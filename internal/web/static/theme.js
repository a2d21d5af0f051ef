// The theme that was chosen, before anything is drawn: the bundle comes after the page, which may take a while.
try {
  const theme = localStorage.getItem('flawless-theme')
  if (theme) document.documentElement.dataset.theme = theme
} catch { /* a browser that keeps nothing */ }
