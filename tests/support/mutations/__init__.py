"""Mutations: small wrongs in the code, each of which a run, the verifier or the fast tests must notice."""
