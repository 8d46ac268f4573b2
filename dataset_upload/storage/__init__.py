"""Where bytes come from and go: folders, zips, servers, object stores; whole files, locks."""
