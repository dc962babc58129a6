int graft_placeholder;
