"""Audits of the noise that was used: is what a release added to its models Gaussian noise of the certified size?

**Measurements.** Let a node add noise to a value c (its *centre*) and go on from the value s. With the certified
standard deviation σ, r = (s − c)/σ must be a draw from N(0, I) in d dimensions, independent of all other draws. What is
measured is the difference of the stored values before and after the addition; the sampler is not asked what it drew.

**Rounding.** Let u be the unit roundoff of the stored values, and x the value from which a step with noise began (x = c
where noise is all that is added). Scaling, converting, adding, stepping and differencing round at most eight times,
each time by at most u·(‖x‖ + ‖c‖ + ‖s‖), and a sum of d products is off by at most d·2⁻⁵²·‖s − c‖. So

    ‖(s − c) − σZ‖ ≤ a,    a = 8u(‖x‖ + ‖c‖ + ‖s‖) + d·2⁻⁵²·‖s − c‖.                                        (1)

Write τ = a/σ. By (1), every statistic below that is linear in r with a unit vector, or is a norm of r, is within its
allowance of the same statistic of Z. A p-value is computed at the end of that interval where it is largest. So under
the hypothesis that the noise is as certified, P[p ≤ α] ≤ α holds for what was computed, not only for real numbers.

**Statistics.** Let E be the number of additions of a release.

    norm                 ‖r_e‖ for each addition                      χ_d, two-sided           allowance τ_e
    all norms            √(Σ_e ‖r_e‖²)                                χ_{Ed}, two-sided        √(Σ_e τ_e²)
    direction            ⟨r_i, (c_i − c'_i)/‖c_i − c'_i‖⟩             N(0, 1)                  τ_i
    all directions       √(Σ of their squares over the m nodes        χ_m, two-sided           √(Σ τ²)
                         with c_i ≠ c'_i)
    joint direction      |Σ_i w_i·(their value)|/√(Σ w_i²),           χ_1, two-sided           Σ w_i·τ_i/√(Σ w_i²)
                         w_i = ‖c_i − c'_i‖/σ_i
    pairs                ⟨r_i, r_j⟩/‖r_i‖, i < j                      N(0, 1)                  τ_j
    sums over nodes      ‖Σ_i r_i‖/√n for the n nodes of one round    χ_d, two-sided           Σ_i τ_i/√n
    successive           ⟨r_e, r_e'⟩/‖r_e'‖, e' the addition of the   N(0, 1)                  τ_e
                         same node before e
    all sums             √(Σ of their squares over the rounds)        χ, two-sided             √(Σ τ²)
    all successive       √(Σ of the squares of the last line)         χ, two-sided             √(Σ τ²)
    earlier release      ⟨r_i, r_i°⟩/‖r_i°‖, r° of the release before N(0, 1)                  τ_i
    repeats              the distance of two fingerprints             P = erf(t/2)^k           τ_e + τ_e'
    earlier repeats      the same, with all earlier releases          P = erf(t/2)^k           τ_e + τ_e'

c' is the retrained model at the same point. Given r_i, the inner product of r_i/‖r_i‖ with an independent N(0, I)
vector is N(0, 1); the same holds for successive vectors, by conditioning on everything before. Statistics that use one
vector for each node are computed from the centres and the noised models of all nodes. Mechanisms that add noise time
and again are measured by each node, which reports its norms, its successive inner products and a fingerprint of each
vector, and keeps one vector of d numbers.

**Fingerprints.** The coordinates are cut into k = min(8, d) consecutive parts. A fingerprint [k] has, for each part,
the sum of its coordinates with public signs ±1, divided by the root of their number. These are inner products with k
orthonormal vectors, so the fingerprint of Z is N(0, I_k). Two independent fingerprints are within t in the largest
coordinate with probability erf(t/2)^k. Equal vectors, of any nodes, rounds or releases, have equal fingerprints but for
rounding, and are found whatever the number of nodes, as long as rounding is small next to the noise. The sums over
nodes of mechanisms that add noise time and again are those of their fingerprints, with k in place of d.

**Pairs.** All pairs are compared up to n²d = 4·10⁹ products (2,500 nodes with 650 parameters, 700 with 7,850). Beyond
that the sums over nodes and the fingerprints are what is left: the sum finds a part that all vectors have in common (a
correlation ρ of all pairs multiplies the square of the statistic by 1 + (n − 1)ρ), fingerprints find equal vectors.

**Level.** Each of the F statistics of a release has an equal share of the release's level, and its tests share that
equally (Bonferroni): the adjusted p-value of a test is p·F·(number of tests of the statistic). The level of a run, 10⁻⁶
for all of it together, is shared equally by its releases.

`log` has what nodes measure, `record` what a certificate's audit keeps of it, `traces` what later releases of a run are
compared with, `statistics` the tests, and `verdict` the audits.
"""
