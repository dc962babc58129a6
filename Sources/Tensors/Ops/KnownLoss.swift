extension Tensor {
    /// A loss that is a function of this tensor's numbers, computed elsewhere with its derivatives.
    ///
    /// - Parameters:
    ///   - value: the loss.
    ///   - derivatives: `∂loss / ∂xᵢ`, one an element.
    /// - Returns: the loss as a tensor of one element, on this tensor's tape.
    public func loss(_ value: Double, derivatives: [Float]) -> Tensor {
        precondition(derivatives.count == count, "\(derivatives.count) derivatives by the elements of shape \(shape)")
        let shape = shape
        return Tensor([Float(value)], shape: [1], device: device).recorded(from: [self]) { upstream in
            [Tensor(derivatives, shape: shape, device: upstream.device).scaled(by: upstream.scalar)]
        }
    }
}
