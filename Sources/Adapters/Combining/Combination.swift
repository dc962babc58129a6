import Files

/// How several LoRA adapters become one: PEFT's `combination_type`.
///
/// The types that end in `_svd` work on whole updates `scale · B A` and bring the result back to a rank by singular values; their
/// namesakes work on A and B apart, each scaled by the root of weight · scale. That is cheaper, and is another result: the product of
/// sums is not the sum of products.
public enum CombinationType: String, CaseIterable, Sendable {
    /// Weighted sums of A and of B.
    case linear
    /// All rows of A and all columns of B: the exact sum of the updates. Its rank is the sum of the ranks.
    case cat
    /// The exact sum of the updates, cut to a rank.
    case svd
    /// Trim by magnitude, elect a sign, take the mean of what agrees with it (Yadav et al., arXiv:2306.01708).
    case ties
    /// The same on whole updates.
    case tiesSVD = "ties_svd"
    /// Drop at random, enlarge the rest by 1 / density, add (Yu et al., arXiv:2311.03099).
    case dareLinear = "dare_linear"
    /// The same on whole updates.
    case dareLinearSVD = "dare_linear_svd"
    /// Drop at random and enlarge, then elect signs as TIES does.
    case dareTies = "dare_ties"
    /// The same on whole updates.
    case dareTiesSVD = "dare_ties_svd"
    /// Trim by magnitude, add.
    case magnitudePrune = "magnitude_prune"
    /// The same on whole updates.
    case magnitudePruneSVD = "magnitude_prune_svd"

    /// Whether whole updates are combined and brought to a rank.
    public var isSVD: Bool { rawValue.hasSuffix("svd") }
    /// Whether numbers are left out, and `density` says how many stay.
    public var takesDensity: Bool { pruning != nil }
    /// Whether signs are elected.
    public var electsSigns: Bool { [.ties, .tiesSVD, .dareTies, .dareTiesSVD].contains(self) }

    /// How numbers are left out before the sum.
    var pruning: Pruning? {
        switch self {
        case .linear, .cat, .svd: nil
        case .ties, .tiesSVD, .magnitudePrune, .magnitudePruneSVD: .magnitude
        case .dareLinear, .dareLinearSVD, .dareTies, .dareTiesSVD: .random
        }
    }
}

/// How TIES elects the sign of a number: PEFT's `majority_sign_method`.
public enum MajoritySign: String, CaseIterable, Sendable {
    /// The sign of the sum.
    case total
    /// The sign that more of them have.
    case frequency
}

/// What PEFT's `add_weighted_adapter` is told.
public struct Combination: Hashable, Sendable {
    /// The rule.
    public var type: CombinationType
    /// One an adapter; a negative one takes its update away.
    public var weights: [Double]
    /// The share of numbers that stay, above 0 and at most 1; for the types that leave some out.
    public var density: Double?
    /// How signs are elected; for the types that do.
    public var majoritySign: MajoritySign
    /// The rank of the result, for the `svd` types; nil for the highest among the adapters.
    public var svdRank: Int?
    /// The quantile of the numbers of A and B, from 0 to 1, beyond which they are cut, on both sides of zero; for the `svd` types.
    public var svdClamp: Double?
    /// The seed of what is dropped at random.
    public var seed: UInt64

    /// Makes a combination.
    public init(
        _ type: CombinationType = .svd, weights: [Double], density: Double? = nil, majoritySign: MajoritySign = .total,
        svdRank: Int? = nil, svdClamp: Double? = nil, seed: UInt64 = 0
    ) {
        self.type = type
        self.weights = weights
        self.density = density
        self.majoritySign = majoritySign
        self.svdRank = svdRank
        self.svdClamp = svdClamp
        self.seed = seed
    }

    /// Checks what does not depend on the adapters' content.
    ///
    /// - Throws: ``InputError`` naming the setting at fault.
    public func validate(adapters count: Int) throws {
        guard weights.count == count else {
            throw InputError(
                "\(weights.count) weights for \(count) adapters",
                hint: "Give one weight for each adapter, in their order")
        }
        guard weights.allSatisfy(\.isFinite) else { throw InputError("weights must be finite numbers") }
        if let density {
            guard type.takesDensity else {
                throw InputError(
                    "`density` has no meaning for \(type.rawValue), which leaves nothing out",
                    hint: "It belongs to ties, dare_linear, dare_ties, magnitude_prune and their _svd forms")
            }
            guard density > 0, density <= 1 else {
                throw InputError("`density` is a share above 0 and at most 1, not \(density)")
            }
        } else if type.takesDensity {
            throw InputError(
                "\(type.rawValue) needs a `density`: the share of numbers that stay, above 0 and at most 1")
        }
        if let svdRank {
            guard type.isSVD else {
                throw InputError("`svd_rank` has no meaning for \(type.rawValue): it belongs to svd and the _svd forms")
            }
            guard LoRAConfiguration.ranks.contains(svdRank) else {
                throw InputError("`svd_rank` is a whole number from 1 to \(LoRAConfiguration.ranks.upperBound)")
            }
        }
        if let svdClamp {
            guard type.isSVD else {
                throw InputError(
                    "`svd_clamp` has no meaning for \(type.rawValue): it belongs to svd and the _svd forms")
            }
            guard (0...1).contains(svdClamp) else {
                throw InputError("`svd_clamp` is a quantile from 0 to 1, not \(svdClamp)")
            }
        }
    }

    /// `ties of a × 0.5 and b × 0.5, density 0.2`
    public func description(of names: [String]) -> String {
        let parts = zip(names, weights).map { "\($0) × \($1)" }.joined(separator: ", ")
        let rank = (svdRank.map { ", rank \($0)" } ?? "") + (svdClamp.map { ", clamped at \($0)" } ?? "")
        return "\(type.rawValue) of \(parts)" + (density.map { ", density \($0)" } ?? "") + rank
            + (type.electsSigns ? ", signs by \(majoritySign.rawValue)" : "")
            + (type.pruning == .random ? ", seed \(seed)" : "")
    }
}
