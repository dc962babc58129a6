extension Tensor {
    /// `xᵀ` of an f32 matrix one of whose sides is small, such as a low-rank factor: `xᵀ I` or `I xᵀ` by the smaller side, which is exact
    /// for finite numbers. Gradient: `dyᵀ`.
    public var transposed: Tensor {
        precondition(shape.count == 2 && dtype == .f32, "the transpose of a \(dtype) tensor of shape \(shape)")
        let size = min(rows, columns)
        let identity = Tensor.zeros([size, size], device: device)
        identity.withMutableFloats { for index in 0..<size { $0[index * size + index] = 1 } }
        let term =
            rows <= columns
            ? ProductTerm(a: detached, b: identity, transposesA: true)
            : ProductTerm(a: identity, b: detached, transposesB: true)
        return product([term]).recorded(from: [self]) { [$0.transposed] }
    }
}
